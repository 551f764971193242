"""What an observation of the queue means. Pure: the run asks Slurm, `step` decides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..plan.dependency import Ref
from ..slurm.parse import Record
from ..slurm.states import JobState, is_held

GRACE = 60.0
"""Seconds for which a job that no source knows is waited for before it counts as lost."""


_SHORTEST, _SLOWEST, _PATIENT = 1.0, 15.0, 60.0
"""Seconds between two queries: at least, and what that grows to with the run's age, a second for each minute."""
_SHARE = 30
"""The controller is busy with questions for at most this part of the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A submission whose end is not known yet."""

    ref: Ref
    job_id: str
    state: JobState = JobState.WAITING
    missing_since: float | None = None
    stuck: str = ""
    """The hopeless reason that was told already."""


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
    """A submission has ended. A state of UNKNOWN is a job that was lost: never a success."""

    ref: Ref
    job_id: str
    record: Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Stuck:
    """A submission waits for something that it will not get by waiting."""

    ref: Ref
    job_id: str
    reason: str
    is_held: bool = False
    """It waits for somebody to release it."""


Event = Started | Requeued | Stuck | Ended


def step(
    followed: Mapping[str, Followed], seen: Mapping[str, Record], now: float
) -> tuple[dict[str, Followed], tuple[Event, ...]]:
    """What has changed between what was known and what Slurm says now.

    Args:
        followed: submissions whose end is not known, by job id.
        seen: records by job id; a job that no source knows is absent.
        now: seconds on any steady clock.

    Returns:
        The submissions to follow on, and what happened.
    """
    left: dict[str, Followed] = {}
    events: list[Event] = []
    for job_id, one in followed.items():
        record = seen.get(job_id)
        if record is not None and record.state.is_final:
            events.append(Ended(ref=one.ref, job_id=job_id, record=record))
        elif record is not None and record.state is not JobState.UNKNOWN:
            events += _moved(one, record)
            left[job_id] = replace(one, state=record.state, missing_since=None, stuck=record.stuck)
        else:
            since = now if one.missing_since is None else one.missing_since
            if now - since <= GRACE:
                left[job_id] = replace(one, missing_since=since)
            else:
                lost = Record(job_id=job_id, state=JobState.UNKNOWN, word=record.word if record else "unknown to Slurm")
                events.append(Ended(ref=one.ref, job_id=job_id, record=lost))
    return left, tuple(events)


def _moved(one: Followed, record: Record) -> Iterable[Event]:
    if one.state is not JobState.RUNNING and record.state is JobState.RUNNING:
        yield Started(ref=one.ref, job_id=one.job_id, node=record.node)
    elif one.state is JobState.RUNNING and record.state is JobState.WAITING:
        yield Requeued(ref=one.ref, job_id=one.job_id)
    if record.stuck and record.stuck != one.stuck:
        yield Stuck(ref=one.ref, job_id=one.job_id, reason=record.stuck, is_held=is_held(record.word, record.reason))


def pause(quiet: float, longest: float, *, age: float, took: float) -> float:
    """Seconds until the next query: a tenth of the time since something last changed.

    So the end of a job is noticed at most ten percent late, and a long training costs few queries. A sweep, in which
    something changes all the time, is asked about more and more seldom, and a slow controller less than others.

    Args:
        quiet: seconds since something last changed.
        longest: what the pause never exceeds.
        age: seconds since the run began to be watched.
        took: seconds that the last query took.
    """
    shortest = max(_SHORTEST, min(age / _PATIENT, _SLOWEST), _SHARE * took)
    return min(longest, max(shortest, quiet / 10))
