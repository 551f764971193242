"""What a query of the queue means for the jobs of a run. Pure: the run queries Slurm, `step` decides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..plan.dependency import Ref
from ..slurm.parse import Record
from ..slurm.states import JobState, is_held

GRACE = 60.0
"""Seconds after which a job that no source knows counts as lost."""


_SHORTEST, _SLOWEST, _PATIENT = 1.0, 15.0, 60.0
"""Least seconds between two queries: 1 for a new run, growing by 1 for each minute of its age, up to 15."""
_SHARE = 30
"""Queries take at most this part (1/30) of slurmctld's time."""


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
class Started:
    ref: Ref
    job_id: str
    node: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued:
    ref: Ref
    job_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A submission has ended. The state UNKNOWN means a lost job, never a success."""

    ref: Ref
    job_id: str
    record: Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Stuck:
    """A submission is pending and will not start as it is."""

    ref: Ref
    job_id: str
    reason: str
    is_held: bool = False
    """It is held until a user releases it."""


Event = Started | Requeued | Stuck | Ended


def step(
    followed: Mapping[str, Followed], seen: Mapping[str, Record], now: float
) -> tuple[dict[str, Followed], tuple[Event, ...]]:
    """The changes between the known state and Slurm's records.

    Args:
        followed: submissions whose end is not known, by job id.
        seen: records by job id; a job that no source knows is absent.
        now: seconds on any steady clock.

    Returns:
        The submissions to follow further, and the events.
    """
    left: dict[str, Followed] = {}
    events: list[Event] = []
    for job_id, job in followed.items():
        record = seen.get(job_id)
        if record is not None and record.state.is_final:
            events.append(Ended(ref=job.ref, job_id=job_id, record=record))
        elif record is not None and record.state is not JobState.UNKNOWN:
            events += _moved(job, record)
            left[job_id] = replace(job, state=record.state, missing_since=None, stuck=record.stuck)
        else:
            since = now if job.missing_since is None else job.missing_since
            if now - since <= GRACE:
                left[job_id] = replace(job, missing_since=since)
            else:
                lost = Record(job_id=job_id, state=JobState.UNKNOWN, word=record.word if record else "unknown to Slurm")
                events.append(Ended(ref=job.ref, job_id=job_id, record=lost))
    return left, tuple(events)


def _moved(job: Followed, record: Record) -> Iterable[Event]:
    if job.state is not JobState.RUNNING and record.state is JobState.RUNNING:
        yield Started(ref=job.ref, job_id=job.job_id, node=record.node)
    elif job.state is JobState.RUNNING and record.state is JobState.WAITING:
        yield Requeued(ref=job.ref, job_id=job.job_id)
    if record.stuck and record.stuck != job.stuck:
        yield Stuck(ref=job.ref, job_id=job.job_id, reason=record.stuck, is_held=is_held(record.word, record.reason))


def pause(quiet: float, longest: float, *, age: float, took: float) -> float:
    """Seconds until the next query: a tenth of the time since something last changed.

    So the end of a job is noticed at most ten percent late, and a long training needs few queries. A sweep, with
    changes all the time, is queried less and less often, and a slow slurmctld less often than others.

    Args:
        quiet: seconds since something last changed.
        longest: the longest pause.
        age: seconds since the run has been watched.
        took: seconds that the last query took.
    """
    shortest = max(_SHORTEST, min(age / _PATIENT, _SLOWEST), _SHARE * took)
    return min(longest, max(shortest, quiet / 10))
