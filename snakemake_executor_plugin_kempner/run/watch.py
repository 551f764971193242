"""What a query of the queue means for the jobs of a run. Pure: the run queries Slurm, `step` decides."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..plan.dependency import Ref
from ..slurm.parse import Record
from ..slurm.states import JobState

GRACE = 60.0
"""Seconds after which a job that no source knows counts as lost."""


_SHORTEST, _SLOWEST, _PATIENT = 1.0, 15.0, 60.0
"""Least seconds between two queries: 1 for a new run, growing by 1 for each minute of its age, up to 15."""
_SHARE = 30
"""Queries take at most this part (1/30) of slurmctld's time."""
_CALM = 3.0
"""While jobs tell by themselves what becomes of them, two queries are this part (1/3) of the run's age apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A submission whose end is not known yet."""

    ref: Ref
    job_id: str
    state: JobState = JobState.WAITING
    missing_since: float | None = None
    stuck: str = ""
    """The reason for never starting that has been reported already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a query has shown of a job that was not known before."""

    job: Followed
    """The job as it was known."""
    record: Record
    """Of the job now. The state UNKNOWN means a lost job, never a success."""

    @property
    def has_ended(self) -> bool:
        return self.record.state.is_final or self.record.state is JobState.UNKNOWN

    @property
    def has_started(self) -> bool:
        return self.job.state is not JobState.RUNNING and self.record.state is JobState.RUNNING

    @property
    def was_requeued(self) -> bool:
        return self.job.state is JobState.RUNNING and self.record.state is JobState.WAITING

    @property
    def is_stuck(self) -> bool:
        """It will not start as it is, for a reason that has not been reported."""
        return self.record.stuck not in ("", self.job.stuck)


def step(
    followed: Mapping[str, Followed], seen: Mapping[str, Record], now: float
) -> tuple[dict[str, Followed], tuple[Change, ...]]:
    """The changes between the known state and Slurm's records.

    Args:
        followed: submissions whose end is not known, by job id.
        seen: records by job id; a job that no source knows is absent.
        now: seconds on any steady clock.

    Returns:
        The submissions to follow further, and the changes.
    """
    left: dict[str, Followed] = {}
    changes: list[Change] = []
    for job_id, job in followed.items():
        record = seen.get(job_id)
        if record is None or record.state is JobState.UNKNOWN:
            since = now if job.missing_since is None else job.missing_since
            if now - since <= GRACE:
                left[job_id] = replace(job, missing_since=since)
                continue
            record = Record(job_id=job_id, state=JobState.UNKNOWN, word=record.word if record else "unknown to Slurm")
        _take(Change(job=job, record=record), left, changes)
    return left, tuple(changes)


def told(
    followed: Mapping[str, Followed], records: Mapping[str, Record]
) -> tuple[dict[str, Followed], tuple[Change, ...]]:
    """As `step`, from records of some of the jobs; the others are as they were."""
    left = dict(followed)
    changes: list[Change] = []
    for job_id in records.keys() & followed.keys():
        _take(Change(job=left.pop(job_id), record=records[job_id]), left, changes)
    return left, tuple(changes)


def _take(change: Change, left: dict[str, Followed], changes: list[Change]) -> None:
    job, record = change.job, change.record
    if not change.has_ended:
        left[job.job_id] = replace(job, state=record.state, missing_since=None, stuck=record.stuck)
    if record.state is not job.state or change.is_stuck:
        changes.append(change)


def pause(quiet: float, longest: float, *, age: float, took: float, is_calm: bool = False) -> float:
    """Seconds until the next query: a tenth of the time since something last changed.

    So the end of a job is noticed at most ten percent late, and a long training needs few queries. A sweep, with
    changes all the time, is queried less and less often, and a slow slurmctld less often than others. Where jobs tell
    what becomes of them, half an hour takes thirty queries, whatever happens in it.

    Args:
        quiet: seconds since something last changed.
        longest: the longest pause.
        age: seconds since the run has been watched.
        took: seconds that the last query took.
        is_calm: what happens is read from the records of jobs; a query only finds what those cannot tell.
    """
    least = age / _CALM if is_calm else min(age / _PATIENT, _SLOWEST)
    shortest = max(_SHORTEST, least, _SHARE * took)
    return min(longest, max(shortest, quiet / 10))
