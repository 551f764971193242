"""Outcomes and events of tasks, and what the end of a task means for its dependants. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..layout import CHECKPOINTS
from ..plan.dependency import DependencyType
from ..plan.model import Submission, log_path
from ..plan.task import Edge
from ..slurm.parse import Record
from ..slurm.states import JobState

_SIGNALS = 128


def workflow_folder(run_folder: Path) -> Path:
    """Where the files of a workflow are, by the folder of a run, `.snakemake/kempner/<run>`."""
    return run_folder.parent.parent.parent


class Outcome(Enum):
    """How a task has ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Its last attempt failed."""
    CANCELLED = "cancelled"
    """A user has cancelled it, pending or running."""
    BLOCKED = "blocked"
    """Never started, because a task before it failed."""
    STOPPED = "stopped"
    """Cancelled before it started, because the run stops after the failure of another task."""
    CUT_OFF = "cut off"
    """Slurm has cancelled it because it could never start, although no task before it has failed."""
    LOST = "lost"
    """Slurm does not know it, and it has no record. Never counted as success."""
    NOT_NEEDED = "not needed"
    """A failure handler, or a dependant of a handler, without a failure. Neither a success nor a failure."""

    @property
    def is_cause(self) -> bool:
        """The outcome is a root cause, not the consequence of another task's failure (blocked, stopped)."""
        return self in (Outcome.FAILED, Outcome.CANCELLED, Outcome.CUT_OFF, Outcome.LOST)

    @property
    def is_failure(self) -> bool:
        return self not in (Outcome.SUCCEEDED, Outcome.NOT_NEEDED)


IN_THE_HEAD = "its command has failed in the head process"
"""Why a local rule counts as failed, of which there is no Slurm job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A submission of a task, with its job id."""

    submission: Submission
    job_id: str
    folder: str = ""
    """Of the run that submitted it; its records lie there."""
    log_pattern: str = ""
    """Path of its log, with `%j` or `%A_%a` for the job id."""

    @property
    def log(self) -> Path:
        return Path(log_path(self.log_pattern, self.job_id))

    @property
    def checkpoints(self) -> Path:
        """The task's KEMPNER_CHECKPOINT_DIR."""
        return Path(self.folder).parent / CHECKPOINTS / self.submission.ref.task

    @property
    def rule_logs(self) -> tuple[Path, ...]:
        """Files of the rule's `log:`; their names are relative to the folder of the workflow."""
        return tuple(workflow_folder(Path(self.folder)) / log for log in self.submission.logs)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRuns:
    """Its job has started, or runs at the first look."""

    task: str
    job: Job
    node: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRequeued:
    """Its job was running and waits again."""

    task: str
    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStuck:
    """Its job is pending and will not start as it is."""

    task: str
    job: Job
    reason: str
    is_held: bool = False
    """It is held until a user releases it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFailed:
    """An attempt has failed, and the next attempt is in the queue; or a segment, and the next segment."""

    task: str
    job: Job
    record: Record
    next: Job

    @property
    def goes_on(self) -> bool:
        """It was a segment, which was cut short: that is no failure."""
        return self.job.submission.turn.attempt == self.next.submission.turn.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEnded:
    task: str
    label: str
    outcome: Outcome
    why: str = ""
    """Reason, for a task without a submission."""
    job: Job | None = None
    """The submission that has decided it; None if nothing was submitted."""
    record: Record | None = None

    @property
    def never_started(self) -> bool:
        """Certainly no job of it has run, so its files are those of an earlier run."""
        waited = self.outcome in (Outcome.CANCELLED, Outcome.CUT_OFF)
        return self.job is None or (waited and not (self.record and self.record.node))

    @property
    def files_are_tidy(self) -> bool:
        """The job never ran, or ended by itself and has cleaned up its outputs, as Snakemake does after a failure."""
        if self.record is None or not self.record.node:
            return True
        # For a killed Snakemake, the step exits with 128 plus the signal's number, as shells do.
        return self.record.exit_code is not None and self.record.exit_code <= _SIGNALS and not self.record.signal


TaskEvent = TaskRuns | TaskRequeued | TaskStuck | AttemptFailed | TaskEnded
"""What a run tells of its tasks: made by `Judge`, passed on to Snakemake and the user by `Handover.tell`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleJobs:
    """The unfinished jobs of a rule, for an overview."""

    rule: str
    tasks: int = 0
    """0 for a helper job."""
    job_ids: tuple[str, ...]
    waits_for: tuple[str, ...] = ()
    """Rules, each with the type of the dependency if it is not `afterok`."""


OUTCOMES: Mapping[JobState, Outcome] = {
    JobState.SUCCEEDED: Outcome.SUCCEEDED,
    JobState.FAILED: Outcome.FAILED,
    JobState.CANCELLED: Outcome.CANCELLED,
    JobState.UNKNOWN: Outcome.LOST,
}
"""What the end of a job means for its task, if nothing else is known."""


def decided_by(edge: Edge, outcome: Outcome) -> Outcome | None:
    """The outcome of a task that is decided by the end of the task on its edge; None if the task may still run."""
    match edge.type:
        case DependencyType.AFTEROK if outcome is Outcome.NOT_NEEDED:
            return Outcome.NOT_NEEDED
        case DependencyType.AFTEROK if outcome.is_failure:
            return Outcome.BLOCKED
        case DependencyType.AFTERNOTOK if not outcome.is_failure:
            return Outcome.NOT_NEEDED
    return None
