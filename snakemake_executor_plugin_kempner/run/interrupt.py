"""Handles Ctrl-C once, and not while a call of sbatch is waiting for its answer.

A second Ctrl-C would interrupt the cancellation of the jobs, which the user wants.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_TOLD = "The jobs of this run are being cancelled. To leave at once, with the jobs in the queue: kill -9 {pid}\n"


class _Ears:
    """The SIGINT state of this process; signals belong to the process, so there is a single object."""

    def __init__(self) -> None:
        self.has_heard = self.is_due = False
        self.undisturbed = 0

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.has_heard:
            os.write(2, _TOLD.format(pid=os.getpid()).encode())
            return
        self.has_heard = True
        if self.undisturbed:
            self.is_due = True
            return
        raise KeyboardInterrupt


_EARS = _Ears()


def hear_ctrl_c_once() -> None:
    """From now on, a second Ctrl-C does not interrupt the cancellation that the first has started."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _EARS.hear)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C interrupts after the block, not within it."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    _EARS.undisturbed += 1
    try:
        yield
    finally:
        _EARS.undisturbed -= 1
        if _EARS.is_due and not _EARS.undisturbed:
            _EARS.is_due = False
            raise KeyboardInterrupt
