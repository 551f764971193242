"""Making very many values at once, without a search for garbage through all that was there before."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 50_000
"""New objects after which Python looks for garbage among them; it looks at each of them once."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """While open, Python looks for garbage among new objects only, and seldom.

    New objects make it look, and with a large DAG in memory each full look costs as much as thousands of tasks.
    """
    usual = gc.get_threshold()
    gc.freeze()
    if usual[0]:  # else it is not to look at all
        gc.set_threshold(_YOUNG, _YOUNG, _YOUNG)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
