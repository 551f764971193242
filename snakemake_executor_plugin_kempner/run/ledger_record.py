"""What the ledger of a run says, as values: its submissions, and what has become of the run."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options import Options
from ..plan.dependency import for_element
from ..plan.model import Kind
from ..plan.task import Edge, Turn

_LONGEST_NUMBER = 10
"""A number in a job's name has fewer digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A submission in the ledger."""

    kind: str
    task: str
    label: str
    attempt: int
    attempts: int
    """Number of the task's last attempt."""
    segments: int
    """How many segments each attempt of the task has."""
    edges: tuple[Edge, ...]
    members: tuple[str, ...]
    """Keys of the jobs of a group."""
    logs: tuple[str, ...]
    """Files of the rule's `log:`."""
    spared: bool
    options: Options
    log: str
    job_name: str
    """For an element: that of its array."""
    index: int | None
    """Index of an element in its array."""
    job_id: str
    """Empty if the head died between intent and answer: the job may be in the queue under its name."""
    folder: str
    """Of the run that submitted it; its records lie there."""
    content: Mapping[str, str]
    """Digests of the task's code, parameters and inputs."""
    units: Mapping[str, int]
    """Units of each limit that it takes while it runs."""
    time: float
    """Of the intent, in seconds since 1970."""

    @property
    def turn(self) -> Turn:
        return Turn.of(self.attempt, self.segments)

    @property
    def dependency(self) -> str:
        """Its dependency as text for sbatch; empty if it has none."""
        return for_element(self.options.get("dependency"), self.index)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRecord:
    """The contents of a ledger."""

    header: dict[str, Any]
    entries: tuple[Entry, ...]
    """Submissions, intended or made, in order."""
    closed: bool
    """The run has ended with nothing left in the queue, or another run has taken it over."""
    result: str  # a `Result`, or what a later version writes
    folder: Path
    ended: float = 0.0
    """When it was closed, in seconds since 1970; 0 if that is not known."""
    taken_over_by: str = ""
    """Name of the run that has taken it over."""
    hooks: frozenset[str] = frozenset()
    """Hooks that have run."""
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Label and reason for each task that cannot be submitted, by its key."""
    left_out: frozenset[str] = frozenset()
    """Outputs of tasks without room in the queue when the last plan was submitted."""
    ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What a head has noted about the end of each job, by id."""
    cancelled: frozenset[str] = frozenset()
    """Ids of jobs that were cancelled, or were about to be, without being a failure that stops the run."""
    cancelled_by_user: frozenset[str] = frozenset()
    """Those of them that the user has asked for."""
    plain_end: bool = False
    """Once all tasks have succeeded, the closing job needs no Snakemake."""
    numbered: int = 0
    """The highest number reserved for a job name, whether or not that job was submitted."""
    unexplained: frozenset[tuple[str, str]] = frozenset()
    """Names and ids of jobs that have an answer in the ledger, but no readable intent."""
    unread: int = 0
    """Unreadable lines: a head was killed while writing, or the file is damaged."""

    @property
    def run(self) -> str:
        return self.folder.name

    @property
    def began(self) -> float:
        return began(self.header)

    @property
    def noted(self) -> Collection[str]:
        """Ids of jobs whose end a head has seen."""
        return self.ends.keys()

    @property
    def last_number(self) -> int:
        """The highest number in job names; calls of sbatch are not made in the order of their numbers."""
        names = {entry.job_name for entry in self.entries} | {name for name, _ in self.unexplained}
        ends = (name.rpartition(".")[2] for name in names if f".{self.run}." in name)
        known = (int(end) for end in ends if end.isdecimal() and len(end) < _LONGEST_NUMBER)
        return max(self.numbered, len(self.entries), *known)

    def of_kind(self, kind: Kind) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind == kind.value)


def began(header: Mapping[str, Any]) -> float:
    """When a run began, by the clock of the file system, which all heads share; 0.1.0 knew the clock of its head only."""
    return float(header.get("file_time") or header.get("time", 0))
