"""The state of a run as values: tasks, their attempts, and what is left to happen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from ..options import Options
from ..plan.dependency import DependencyType
from ..plan.model import log_path
from ..plan.task import Edge, Turn
from ..printable import printable
from ..run.outcome import workflow_folder
from ..run.segments import is_to_be_continued
from ..slurm.parse import Record


class State(StrEnum):
    """What has become of a task."""

    DONE = "done"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    """An attempt has failed, and the next waits."""
    FAILED = "failed"
    NEVER = "never"
    """It did not run, because a task before it failed or the run was stopped."""
    CANCELLED = "cancelled"
    """Somebody has cancelled it."""
    NOT_NEEDED = "not needed"
    """A failure handler without a failure."""
    UNKNOWN = "unknown"
    """Neither Slurm nor a record says what became of it; never taken for a success."""

    @property
    def is_open(self) -> bool:
        """It may still run."""
        return self in (State.RUNNING, State.WAITING, State.RETRYING)

    @property
    def is_cause(self) -> bool:
        """It has not succeeded, and no other task explains why."""
        return self in (State.FAILED, State.CANCELLED, State.UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A try of a task, or a job that looks after the run."""

    number: int
    """Among all attempts of the task, with their segments."""
    job_id: str
    """Empty if Slurm has not answered yet."""
    record: Record | None
    """Slurm's word, or that of the job itself; None if nobody was asked or knows."""
    options: Options
    folder: str
    """Of the run that submitted it."""
    log_pattern: str
    submitted: float = 0.0
    """Seconds since 1970, as all times here."""
    start: float | None = None
    """None if it has not started, or nobody knows when."""
    end: float | None = None
    expected: float | None = None
    """Start by Slurm's own planning."""
    limit_s: int | None = None
    peak_memory_mb: int | None = None
    """Of its largest process."""
    restarts: int = 0
    """How often Slurm has put it back into the queue."""

    segments: int = 1
    """How many segments each attempt of the task has."""

    @property
    def turn(self) -> Turn:
        return Turn.of(self.number, self.segments)

    @property
    def is_cut_short(self) -> bool:
        """It was a segment, and the next goes on with its work."""
        return self.segments > 1 and self.record is not None and is_to_be_continued(self.record)

    @property
    def word(self) -> str:
        """The state as Slurm writes it."""
        return self.record.word if self.record else "unknown"

    @property
    def log(self) -> Path:
        return Path(log_path(self.log_pattern, self.job_id))

    def seconds(self, now: float) -> float | None:
        """How long it ran, or has run so far; None if it has not started."""
        return None if self.start is None else max(0.0, (self.end or now) - self.start)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskState:
    """A task of a run."""

    key: str
    label: str
    state: State
    attempts: tuple[Attempt, ...] = ()
    edges: tuple[Edge, ...] = ()
    logs: tuple[str, ...] = ()
    """Files of its rule's `log:`."""
    why: str = ""
    """Why it never started, for a task that was not submitted."""

    @property
    def rule(self) -> str:
        return self.label.partition("[")[0]

    @property
    def last(self) -> Attempt | None:
        """The attempt that decides: the last that has started, else the first that has not ended, else the first."""
        started = [attempt for attempt in self.attempts if attempt.start is not None]
        waiting = [attempt for attempt in self.attempts if attempt.record and not attempt.record.state.is_final]
        return next(iter((*started[::-1], *waiting, *self.attempts)), None)

    @property
    def pending(self) -> Attempt | None:
        """The attempt that waits in the queue; of several the next."""
        attempts = (
            attempt
            for attempt in self.attempts
            if attempt.record and not attempt.record.state.is_final and attempt.start is None
        )
        return next(attempts, None)

    @property
    def rule_logs(self) -> tuple[Path, ...]:
        """Files of its rule's `log:`, with the folder of the workflow."""
        folder = workflow_folder(Path(self.attempts[-1].folder)) if self.attempts else Path()
        return tuple(folder / log for log in self.logs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Helper:
    """A job that looks after the run: closing job, continuation, guard, gate."""

    kind: str
    job_id: str
    record: Record | None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run, with the tasks of all runs that it has taken over."""

    run: str
    folder: Path
    command: tuple[str, ...] = ()
    started_in: str = ""
    """The folder in which the command was given."""
    since: float = 0.0
    ended: float = 0.0
    """0 if it is open, or if nobody knows when it was closed."""
    closed: bool = False
    result: str = ""
    """How it has ended, by whoever has closed it; empty if that is not known."""
    taken_over_by: str = ""
    keep_going: bool = False
    watched_by: str = ""
    """The process that looks after it; empty if none does."""
    tasks: tuple[TaskState, ...] = ()
    """Each after those it waits for."""
    helpers: tuple[Helper, ...] = ()
    """Those in the queue."""
    earlier: tuple[str, ...] = ()
    """Names of the runs that it has taken over."""
    unread: int = 0
    """Lines of the ledger that cannot be read."""
    unanswered: str = ""
    """Why Slurm could not be asked; empty if it has answered."""
    left_out: int = field(default=0)
    """Outputs that were left for later when the last plan was submitted, if a continuation is to follow."""

    @property
    def workdir(self) -> Path:
        """Where the files of the workflow are."""
        return workflow_folder(self.folder)

    @property
    def name(self) -> str:
        """What people call the workflow: its folder."""
        return printable(self.workdir.name or str(self.workdir))

    @cached_property
    def by_key(self) -> Mapping[str, TaskState]:
        return {task.key: task for task in self.tasks}

    @cached_property
    def numbers(self) -> Mapping[State, int]:
        return Counter(task.state for task in self.tasks)

    @property
    def is_open(self) -> bool:
        """Something of it may still happen."""
        at_work = bool(self.helpers) or bool(self.watched_by)
        return not self.closed and (at_work or any(task.state.is_open for task in self.tasks))

    @cached_property
    def rules(self) -> Mapping[str, Sequence[TaskState]]:
        """The tasks of each rule, in the order of planning."""
        found: dict[str, list[TaskState]] = {}
        for task in self.tasks:
            found.setdefault(task.rule, []).append(task)
        return found

    def waits_for(self, task: TaskState) -> tuple[TaskState, ...]:
        """The tasks before it that have not succeeded."""
        before = (self.by_key.get(edge.on) for edge in task.edges)
        return tuple(
            task_before for task_before in before if task_before is not None and task_before.state is not State.DONE
        )

    def needing(self, *tasks: TaskState) -> tuple[TaskState, ...]:
        """The tasks that cannot run without these, directly or not."""
        gone = {task.key for task in tasks}
        found = []
        for task in self.tasks:
            if task.key not in gone and any(_needs(edge) and edge.on in gone for edge in task.edges):
                gone.add(task.key)
                found.append(task)
        return tuple(found)

    def roots(self, task: TaskState) -> tuple[TaskState, ...]:
        """The tasks whose end explains why this task never ran; the task itself if it has failed."""
        found: dict[str, TaskState] = {}
        seen, left = {task.key}, [task]
        while left:
            current = left.pop()
            if current.state.is_cause:
                found[current.key] = current
                continue
            for before in self.waits_for(current):
                if before.key not in seen:
                    seen.add(before.key)
                    left.append(before)
        return tuple(found.values())


def _needs(edge: Edge) -> bool:
    return edge.type is DependencyType.AFTEROK
