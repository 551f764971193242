"""What becomes of tasks, as values: outcomes, events, and what an end means for a task that waits for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..plan.dependency import DependencyType
from ..plan.model import Edge, Submission, log_path
from ..slurm.parse import Record
from ..slurm.states import JobState

_SIGNALS = 128


class Outcome(Enum):
    """What became of a task."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Its last attempt failed."""
    CANCELLED = "cancelled"
    """Somebody took it out of the queue or stopped it."""
    BLOCKED = "blocked"
    """Never started, because a task before it failed."""
    STOPPED = "stopped"
    """Taken out of the queue before it started, because the run stops after the failure of another task."""
    CUT_OFF = "cut off"
    """Slurm took it out of the queue as something that can never start, and no task before it has failed."""
    LOST = "lost"
    """Slurm does not know it and it left no record. Never counted as success."""
    NOT_NEEDED = "not needed"
    """A failure handler, or what depends on one, and nothing has failed. Neither a success nor a failure."""

    @property
    def is_cause(self) -> bool:
        """Nothing but its own end explains it; what was blocked or stopped fell with another task."""
        return self in (Outcome.FAILED, Outcome.CANCELLED, Outcome.CUT_OFF, Outcome.LOST)

    @property
    def is_failure(self) -> bool:
        return self not in (Outcome.SUCCEEDED, Outcome.NOT_NEEDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One submission of a task, as Slurm knows it."""

    submission: Submission
    job_id: str
    folder: str = ""
    """Of the run that submitted it; its records lie there."""
    log_pattern: str = ""
    """Path of its log, with `%j` or `%A_%a` for the job id."""

    @property
    def log(self) -> Path:
        return Path(log_path(self.log_pattern, self.job_id))


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStarted:
    task: str
    job: Job
    node: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRequeued:
    task: str
    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStuck:
    """It waits for something that it will not get by waiting."""

    task: str
    job: Job
    reason: str
    is_held: bool = False
    """It waits for somebody to release it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFailed:
    """An attempt has failed and the next one is in the queue."""

    task: str
    job: Job
    record: Record
    next: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEnded:
    task: str
    label: str
    outcome: Outcome
    why: str = ""
    """Of a task for which nothing was submitted."""
    job: Job | None = None
    """The submission that decided it; None when nothing was submitted."""
    record: Record | None = None

    @property
    def never_started(self) -> bool:
        """It is known that no job of it has run, so its files are those of an earlier run."""
        waited = self.outcome in (Outcome.CANCELLED, Outcome.CUT_OFF)
        return self.job is None or (waited and not (self.record and self.record.node))

    @property
    def files_are_tidy(self) -> bool:
        """The job never ran, or ended by itself and has tidied up its outputs, as Snakemake does after a failure."""
        if self.record is None or not self.record.node:
            return True
        # The step answers for a Snakemake that was killed with 128 and the signal's number, as shells do.
        return self.record.exit_code is not None and self.record.exit_code <= _SIGNALS and not self.record.signal


TaskEvent = TaskStarted | TaskRequeued | TaskStuck | AttemptFailed | TaskEnded


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleJobs:
    """The jobs of one rule that have not ended, for an overview."""

    rule: str
    tasks: int = 0
    """0 for a job of ours."""
    job_ids: tuple[str, ...]
    waits_for: tuple[str, ...] = ()
    """Rules, each with the type of the dependency where it is not `afterok`."""


OUTCOMES: Mapping[JobState, Outcome] = {
    JobState.SUCCEEDED: Outcome.SUCCEEDED,
    JobState.FAILED: Outcome.FAILED,
    JobState.CANCELLED: Outcome.CANCELLED,
    JobState.UNKNOWN: Outcome.LOST,
}
"""What the end of a job means for its task, where nothing else is known."""


def decided_by(edge: Edge, outcome: Outcome) -> Outcome | None:
    """What becomes of a task when the task at the end of its edge has ended so; None: nothing stands in its way."""
    match edge.type:
        case DependencyType.AFTEROK if outcome is Outcome.NOT_NEEDED:
            return Outcome.NOT_NEEDED
        case DependencyType.AFTEROK if outcome.is_failure:
            return Outcome.BLOCKED
        case DependencyType.AFTERNOTOK if not outcome.is_failure:
            return Outcome.NOT_NEEDED
    return None
