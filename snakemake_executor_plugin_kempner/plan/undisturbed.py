"""Creates very many objects without full garbage collections."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 50_000
"""New objects after which Python collects garbage among them; each object is looked at once."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside the block, Python collects garbage seldom, and among new objects only.

    New objects trigger collections, and with a large DAG in memory a full collection takes as long as thousands of
    tasks.
    """
    usual = gc.get_threshold()
    gc.freeze()
    if usual[0]:  # 0: the user has switched collection off
        gc.set_threshold(_YOUNG, _YOUNG, _YOUNG)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
