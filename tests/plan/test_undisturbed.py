"""Making very many values does not make Python look through all that was there before, and leaves it as it was."""

import gc
import weakref
from contextlib import suppress

from snakemake_executor_plugin_kempner.plan.undisturbed import undisturbed


class Knot:
    """Garbage that only a search finds."""

    def __init__(self) -> None:
        self.itself = self


def test_all_is_as_before_whatever_happens_inside() -> None:
    before = gc.get_threshold()
    with suppress(KeyError), undisturbed(), undisturbed():
        assert gc.get_freeze_count() > 0
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_garbage_is_found_all_the_same() -> None:
    with undisturbed():
        knot = weakref.ref(Knot())
        kept = [[number] for number in range(200_000)]
        assert knot() is None
    assert len(kept) == 200_000


def test_where_nothing_is_to_be_looked_for_nothing_is() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with undisturbed():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
