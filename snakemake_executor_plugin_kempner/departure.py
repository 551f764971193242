"""How a head process leaves a run that goes on without it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class LeaveError(Exception):
    """Thrown through Snakemake's scheduler, which answers with the executor's `cancel`."""


class Departure:
    """Whether this process leaves the run, and with which exit code.

    On SIGTERM and SIGHUP the jobs stay in the queue. What is being submitted at that moment is submitted first.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        """Exit code of a process that leaves; None while it stays."""
        self._is_submitting = False

    @property
    def is_by_signal(self) -> bool:
        return bool(self.code)

    def on_signals(self) -> None:
        """From now on, leave when a signal says so, unless the process ignores it (`nohup`)."""
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    def on_no_signal(self) -> None:
        """From now on, a signal ends the process as usual."""
        _answer(signal.SIG_DFL)

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Put off a departure until everything is submitted.

        Raises:
            LeaveError: at the end, when a signal came meanwhile.
        """
        self._is_submitting = True
        try:
            yield
        finally:
            self._is_submitting = False
        if self.is_by_signal:
            raise LeaveError

    def leave(self) -> None:
        """Leave because all is queued.

        Raises:
            LeaveError: always.
        """
        self.code = 0
        raise LeaveError

    def _hear(self, number: int, _frame: object) -> None:
        _answer(signal.SIG_IGN)
        self.code = 128 + number
        if not self._is_submitting:
            raise LeaveError


def _answer(handler: signal.Handlers) -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
