"""A user's jobs with their names and times, from one query, for people who look. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from ..notation import whole_number
from .ids import expand
from .parse import Record, parse_squeue

LISTING_FORMAT = (
    "JobArrayID:0|,State:0|,Reason:0|,exit_code:0|,NodeList:0|,StartTime:0|,TimeUsed:0|,TimeLimit:0|,Name:0|,Comment:0"
)
"""The fields of `SQUEUE_FORMAT` first; what a user may write last."""
_FIELDS_BEFORE_NAMES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A job in the queue, or a job that has ended lately."""

    record: Record
    name: str
    comment: str
    starts: float | None = None
    """When it started, or is expected to start by Slurm's own planning; seconds since 1970."""
    used_s: int = 0
    limit_s: int | None = None

    @property
    def job_id(self) -> str:
        return self.record.job_id


def parse_listing(text: str) -> tuple[Listed, ...]:
    """Jobs from `squeue --noheader --Format=LISTING_FORMAT`, a value for each element of an array.

    Raises:
        SlurmError: a list of array elements is cut off or malformed.
    """
    return tuple(_listed(text))


def _listed(text: str) -> Iterator[Listed]:
    for line in text.splitlines():
        fields = line.split("|", _FIELDS_BEFORE_NAMES)
        if len(fields) <= _FIELDS_BEFORE_NAMES or not fields[0].strip():
            continue
        name, _, comment = fields[-1].rpartition("|")
        records = parse_squeue("|".join(fields[:5])) if expand(fields[0].strip()) else ()
        for record in records:
            yield Listed(
                record=record,
                name=name.strip(),
                comment=comment.strip(),
                starts=_moment(fields[5].strip()),
                used_s=_seconds(fields[6]) or 0,
                limit_s=_seconds(fields[7]),
            )


@cache
def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()  # squeue writes local time
    except (ValueError, OverflowError, OSError):  # also a year that no clock has
        return None


@cache
def _seconds(text: str) -> int | None:
    """`D-HH:MM:SS` as squeue writes it, from the right; None for no limit, or an unknown limit."""
    days, _, rest = text.strip().rpartition("-")
    parts = rest.split(":")
    seconds = 0
    for part in parts:
        number = whole_number(part)
        if number is None:
            return None
        seconds = 60 * seconds + number
    whole_days = whole_number(days or "0")
    return None if whole_days is None else seconds + 86_400 * whole_days
