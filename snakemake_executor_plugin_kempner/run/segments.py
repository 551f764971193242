"""How the end of a segment counts: it is to be continued, or its attempt has failed. Pure.

Slurm's word decides, or that of the job's own record: a segment that is killed at its time limit writes down nothing.
"""

from collections.abc import Hashable, Iterable
from typing import TypeVar

from ..plan.step import TO_BE_CONTINUED
from ..slurm.parse import Record
from ..slurm.states import JobState

K = TypeVar("K", bound=Hashable)

_CUT_SHORT = frozenset({"TIMEOUT", "PREEMPTED"})
_SIGTERM = 15


def is_to_be_continued(record: Record) -> bool:
    """Whether the next segment goes on after this end of a segment."""
    if record.state is not JobState.FAILED:
        return False
    return record.word in _CUT_SHORT or record.exit_code == TO_BE_CONTINUED or _SIGTERM in _signals(record)


def _signals(record: Record) -> tuple[int | None, int]:
    return record.signal, (record.exit_code or 0) - 128


def has_failed(record: Record | None) -> bool:
    """Whether a segment has ended its attempt."""
    return record is not None and record.state is JobState.FAILED and not is_to_be_continued(record)


def passed_over(jobs: Iterable[tuple[K, int, Record | None]]) -> frozenset[K]:
    """The segments that do not count, because one before them has ended their attempt.

    Args:
        jobs: of a task, in order: a name for each, the number of its attempt, and its end if that is known.
    """
    found: set[K] = set()
    ended: set[int] = set()
    for job, attempt, record in jobs:
        if attempt in ended:
            found.add(job)
        elif has_failed(record):
            ended.add(attempt)
    return frozenset(found)
