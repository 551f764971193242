"""Making very many values at once, without a search for garbage through all that was there before."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """While open, Python looks for garbage among new objects only.

    New objects make it look, and with a large DAG in memory each full look costs as much as thousands of tasks.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
