"""The jobs of a run that have not ended."""

from collections.abc import Callable

from ..plan.dependency import Ref
from ..plan.model import LOOK_AFTER, Kind
from ..slurm.states import JobState
from .watch import Followed

_FORGOTTEN = float("-inf")
"""Since when a job is missing that Slurm does not know at the first look: it is not waited for any more."""


class OpenJobs(dict[str, Followed]):
    """By job id, with what has to be known of some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.spared: set[str] = set()
        """Ids of jobs that stay in the queue when a failure stops the run."""
        self.gates: dict[str, str] = {}
        """Labels of gates, by id."""
        self.closing: Ref | None = None
        """The closing job, while it waits."""
        self.when_displaced: Callable[[Followed], None] = lambda _job: None
        """Is told of a job whose id Slurm gives to another job: a slurmctld that was killed had forgotten it."""

    def follow(self, job_id: str, ref: Ref, *, spared: bool = False, may_be_forgotten: bool = False) -> None:
        """Follow a job until it ends.

        Args:
            job_id: of the job.
            ref: its submission.
            spared: it stays in the queue when a failure stops the run.
            may_be_forgotten: if Slurm does not know it, it has ended long ago.
        """
        before = self.get(job_id)
        if before is not None and before.ref != ref:
            self.when_displaced(before)
        self[job_id] = Followed(ref=ref, job_id=job_id, missing_since=_FORGOTTEN if may_be_forgotten else None)
        if spared:
            self.spared.add(job_id)

    @property
    def running(self) -> int:
        return sum(job.state is JobState.RUNNING for job in self.values())

    def helpers(self) -> dict[str, list[str]]:
        """Ids of the jobs that are no tasks, by kind; what looks after the run comes last."""
        found: dict[str, list[str]] = {}
        for job_id, job in self.items():
            if job.ref.task in (Kind.RELEASE.value, Kind.GUARD.value) or job.ref.task in LOOK_AFTER:
                found.setdefault(job.ref.task, []).append(job_id)
            elif job_id in self.gates:
                found.setdefault(Kind.GATE.value, []).append(job_id)
        return dict(sorted(found.items(), key=lambda helper: helper[0] in LOOK_AFTER))

    def stoppable(self) -> list[str]:
        """Ids of the jobs that a failure takes out of the queue, unless they run."""
        return [job_id for job_id in self if job_id not in self.spared]
