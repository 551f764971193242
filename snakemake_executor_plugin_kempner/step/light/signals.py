"""Signals that a job gets and passes on to its command, and what the command has used."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # without `enum`, which `signal` imports
import os
import time

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_SIGNAL_DELAY = 0.3
"""Seconds within which a signal from Slurm reaches this process after it has ended the command."""
signalled: list[int] = []
"""Signals that this job has received. Slurm may requeue it now, so its failure must not stop the run, and its
checkpoints must be kept."""
used: dict[str, float] = {}
"""What the work has used, for the record."""


def give_own_group(process: int) -> None:
    # Called by parent and child, so that the group exists before either of them goes on.
    try:
        os.setpgid(process, process)
    except (PermissionError, ProcessLookupError):
        return


def hold_signals() -> None:
    """Keep signals until `wait` can pass them on: one that comes when the child has just started would end this process alone.

    The child has to let them through again.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)


def let_signals_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)


def wait(child: int) -> int:
    """Wait for a child in a group of its own, which hears each signal that this job gets; its exit code, negative for a signal."""

    def forward(number: int, _frame: object) -> None:
        signalled.append(number)
        try:
            os.killpg(child, number)  # to the whole group: the rule's own process has to hear it too
        except ProcessLookupError:  # it has ended
            return

    for number in _FORWARDED:
        signal.signal(number, forward)
    let_signals_through()
    _, status, usage = os.wait4(child, 0)
    used["peak_memory_mb"] = usage.ru_maxrss // 1024
    used["cpu_seconds"] = round(usage.ru_utime + usage.ru_stime, 2)
    return os.waitstatus_to_exitcode(status)


def hear_what_ended_it() -> None:
    """Wait for a signal: Slurm sends it to the processes of a job one by one, so the command may have ended before."""
    end = time.monotonic() + _SIGNAL_DELAY
    while not signalled and time.monotonic() < end:
        time.sleep(0.05)
