"""What the end of a job means in words: exit codes, signals, limits that were reached. Pure."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

from ..printable import printable
from ..site.request import Request
from ..slurm.parse import Record

_NEAR = 0.85
"""Share of the requested memory from which on a kill counts as caused by memory."""
_SHELL = 128
_MORE = 1.5
"""How much more memory is advised."""

_CODES = {
    75: (
        "the program says that it is to be continued",
        "give the same command again, or let the next job go on by itself: slurm_segments",
    ),
    126: ("a program could not be executed", "is it executable, and made for this kind of node?"),
    127: (
        "a program is missing{on}",
        "the job has the environment in which you started Snakemake. Activate it first, or use conda:, container: or envmodules:",
    ),
}
_SIGNALS = {
    signal.SIGABRT: "the program aborted itself",
    signal.SIGBUS: "the program read beyond the end of a file or of its memory",
    signal.SIGFPE: "a fault in arithmetic, such as a division by zero",
    signal.SIGILL: "the program has instructions that this node's processor does not have",
    signal.SIGSEGV: "the program used memory that is not its own: a fault in it or in a library",
    signal.SIGPIPE: "the program wrote to another program that had ended",
}
_NOT_THE_RULE = "this is no fault of the rule; give the same command again"
_STATES = {
    "NODE_FAIL": ("the node failed", _NOT_THE_RULE),
    "BOOT_FAIL": ("the node did not start", _NOT_THE_RULE),
    "PREEMPTED": ("a job with a higher priority took its place", _NOT_THE_RULE),
    "DEADLINE": ("it could not end before its deadline", "raise or remove the deadline in slurm_extra"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What an end means."""

    what: str
    do: str = ""
    """What to do about it."""
    is_cause: bool = False
    """It says more than any line of a log."""

    def __str__(self) -> str:
        return f"{self.what}: {self.do}" if self.do else self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a job has ended, as far as it is known."""

    record: Record
    exit_code: int | None = None
    """Of the rule's own command, where it is known."""
    signal: int | None = None
    """That has killed the rule's own command."""
    peak_memory_mb: int | None = None
    request: Request

    @property
    def code(self) -> int | None:
        return self.record.exit_code if self.exit_code is None else self.exit_code

    @property
    def killed_by(self) -> int | None:
        """As a signal, or as a shell tells it, by an exit code above 128."""
        by_code = self.code - _SHELL if self.code and _SHELL < self.code <= _SHELL + signal.SIGRTMAX else None
        return self.record.signal or self.signal or by_code


def meanings(end: End) -> Iterator[Meaning]:
    """What the end means; nothing for an end that needs no words."""
    memory, word, killer = requested_memory(end.request), end.record.word, end.killed_by
    was_killed = killer is not None and not word.startswith("CANCELLED")
    if word == "TIMEOUT":
        time = requested_time(end.request) or "the partition"
        yield Meaning(
            what=f"stopped at its time limit of {time}", do="ask for more with the rule's runtime", is_cause=True
        )
    elif word == "OUT_OF_MEMORY":
        what = f"used more memory than {memory or 'it may by default'}"
        yield Meaning(what=what, do=f"ask for more with the rule's mem_mb{_example(end)}", is_cause=True)
    elif word in _STATES:
        what, do = _STATES[word]
        yield Meaning(what=what, do=do, is_cause=True)
    elif was_killed and killer == signal.SIGKILL:
        yield _killed(end, memory)
    elif was_killed and killer in _SIGNALS:
        yield Meaning(what=f"{signal.Signals(killer).name}: {_SIGNALS[signal.Signals(killer)]}")
    elif end.code in _CODES:
        node = f" on {printable(end.record.node)}" if end.record.node else ""
        what, do = _CODES[end.code]
        yield Meaning(what=f"exit code {end.code}: {what.format(on=node)}", do=do)
    if _is_at_limit(end, 1.0) and word != "OUT_OF_MEMORY" and killer != signal.SIGKILL:
        what = f"its peak memory was {end.peak_memory_mb} MB, and it asked for {memory}"
        yield Meaning(what=what, do=f"ask for more with the rule's mem_mb{_example(end)}")


def _killed(end: End, memory: str) -> Meaning:
    if _is_at_limit(end, _NEAR):
        what = f"killed at {end.peak_memory_mb} MB of the {memory} that it asked for: out of memory"
        return Meaning(what=what, do=f"ask for more with the rule's mem_mb{_example(end)}", is_cause=True)
    peak = f" (peak memory {end.peak_memory_mb} MB{f' of {memory}' if memory else ''})" if end.peak_memory_mb else ""
    return Meaning(
        what=f"killed by SIGKILL{peak}", do="most often for memory. If so, ask for more with the rule's mem_mb"
    )


def _is_at_limit(end: End, share: float) -> bool:
    limit = end.request.memory_of_node
    return bool(limit) and (end.peak_memory_mb or 0) >= share * (limit or 0)


def _example(end: End) -> str:
    limit = end.request.memory_of_node
    return f", for example {round(max(limit, end.peak_memory_mb or 0) * _MORE, -2):.0f}" if limit else ""


def requested_memory(request: Request) -> str:
    """As it is asked for: `4000M`; empty if it is not."""
    return f"{request.memory_of_node}M" if request.memory_of_node else ""


def requested_time(request: Request) -> str:
    return f"{request.minutes} min" if request.minutes else ""
