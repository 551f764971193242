"""What is to be planned: tasks with their attempts and what they wait for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..printable import printable
from .dependency import DependencyType
from .step import StepSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A task waits for another task."""

    on: str
    """Key of the other task."""
    type: DependencyType = DependencyType.AFTEROK
    minutes: int | None = None
    declared: bool = False
    """Declared by the rule (`slurm_dependency`), not a consequence of input files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The k-th attempt of a task, or a segment of it, with its resources."""

    number: int
    """Among all attempts of the task, with their segments."""
    threads: int
    resources: Mapping[str, int | str]
    """Evaluated resources, by Snakemake's names."""
    step: StepSpec
    units: Mapping[str, int] = field(default_factory=dict)
    """What it takes, while it runs, of what the policy limits."""
    segments: int = 1
    """How many segments each attempt of the task has."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Which job of a task this is, as people count: the segment of an attempt."""

    attempt: int
    segment: int
    segments: int

    @classmethod
    def of(cls, number: int, segments: int) -> "Turn":
        """By its number among all attempts of the task, with their segments."""
        attempt, segment = divmod(number - 1, segments)
        return cls(attempt + 1, segment + 1, segments)

    @property
    def is_last_segment(self) -> bool:
        return self.segment == self.segments

    def __str__(self) -> str:
        """`attempt 2`, `segment 2 of 6`, `attempt 2, segment 1 of 6`."""
        if self.segments == 1:
            return f"attempt {self.attempt}"
        segment = f"segment {self.segment} of {self.segments}"
        return f"attempt {self.attempt}, {segment}" if self.attempt > 1 else segment


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One Snakemake job or group job."""

    key: str
    """Digest of rule, wildcards and outputs: the same in every run of the workflow."""
    name: str
    """Rule, or name of the group."""
    wildcards: Mapping[str, str]
    attempts: tuple[Attempt, ...]
    edges: tuple[Edge, ...] = ()
    singleton: bool = False
    """At most one task of this rule and user runs at a time, across all runs."""
    members: tuple[str, ...] = ()
    """Keys of the jobs of a group; empty for a job alone. A group has another key when some of its members are done."""
    folders: tuple[str, ...] = ()
    """Declared outputs that are folders."""
    logs: tuple[str, ...] = ()
    """Files of the rule's `log:`."""
    not_needed: str = ""
    """Why the task is not submitted; empty when it is."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Digests of code, parameters and inputs, with which a later run detects changes."""

    @property
    def is_handler(self) -> bool:
        """Runs only when something has failed; not being needed is no failure."""
        return any(edge.type is DependencyType.AFTERNOTOK for edge in self.edges)

    @property
    def may_follow_failure(self) -> bool:
        """True for a task with a declared edge other than `afterok`: it may run after another task has failed."""
        return any(edge.declared and edge.type is not DependencyType.AFTEROK for edge in self.edges)

    @property
    def label(self) -> str:
        """`rule[wildcard=value]`, for people."""
        return label(self.name, self.wildcards)


def label(name: str, wildcards: Mapping[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in wildcards.items())
    return printable(f"{name}[{inside}]" if inside else name)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A task, or a part of the workflow, that cannot be planned yet."""

    why: str
    awaits: frozenset[str] = frozenset()
    """Keys of the tasks that have to succeed first; none when it waits for the head process itself."""
    however: bool = False
    """The first attempts of those tasks only have to end, successfully or not: then there may be room for more jobs."""
    task: Task | None = field(default=None, compare=False)
    """The task with its expected resources, if known: checked now, submitted later."""
