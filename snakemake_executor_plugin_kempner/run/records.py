"""The records that steps write about their jobs: `ended/<job id>.json` in the folder of the run that submitted them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..layout import ENDED
from ..notation import clock
from ..slurm.client import Slurm
from ..slurm.parse import Record, Usage
from ..slurm.states import JobState
from .ledger_record import Entry
from .outcome import Job

_MOST = 10**12
"""Upper bound for times, sizes and exit codes: larger values are damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A job's own record."""

    job_id: str
    task: str = ""
    """Label of its task."""
    attempt: int = 0
    """Its number among the attempts of the task; 0 if the record does not say."""
    start: float
    """Seconds since 1970."""
    end: float | None = None
    exit_code: int | None = None
    """None while it runs, or if it was killed before it could record it."""
    cancelled: bool = False
    """A user has cancelled it: it got a signal, and Slurm gave no reason such as a time limit."""
    node: str = ""
    peak_memory_mb: int | None = None
    """Of the largest process."""
    cpu_seconds: float | None = None
    """User and system time of all processes that have been waited for."""
    restarts: int = 0
    """How often Slurm had put the job back into the queue before this start."""

    def is_of(self, entry: Entry) -> bool:
        return self.task in ("", entry.label) and self.attempt in (0, entry.turn.attempt)

    def as_record(self) -> Record | None:
        """The end as a record of Slurm; None if it is unknown."""
        if self.exit_code is None:
            return None
        state, word = (JobState.FAILED, "FAILED") if self.exit_code else (JobState.SUCCEEDED, "COMPLETED")
        if self.cancelled and self.exit_code:
            state, word = JobState.CANCELLED, "CANCELLED"
        return Record(job_id=self.job_id, state=state, word=word, exit_code=self.exit_code, node=self.node)


def usage_of(job: Job, slurm: Slurm) -> Usage:
    """Time and memory of a job, from accounting or from its own record."""
    usage = slurm.usage(job.job_id)
    written = step_record(Path(job.folder), job.job_id)
    if written is None:
        return usage
    elapsed = clock(round(max(0.0, written.end - written.start))) if written.end else ""
    return Usage(
        elapsed=usage.elapsed or elapsed, peak_memory_mb=usage.peak_memory_mb or written.peak_memory_mb or None
    )


def own_record(entry: Entry) -> StepRecord | None:
    """The record of a job in the ledger; None if it has not started, or has no readable record.

    A slurmctld that was killed may give the id of a job to another: the record says whose it is.
    """
    written = step_record(Path(entry.folder), entry.job_id) if entry.job_id else None
    return written if written is not None and written.is_of(entry) else None


def step_record(folder: Path, job_id: str) -> StepRecord | None:
    """The record of a job; None if it has not started, or has no readable record."""
    return read_record(folder / ENDED / f"{job_id}.json", job_id)


def read_record(path: Path, job_id: str) -> StepRecord | None:
    """The record in a file; None if it cannot be read."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(written, dict):
        return None

    def number(name: str) -> Any:
        value = written.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MOST:
            return value
        return None

    return StepRecord(
        job_id=job_id,
        task=str(written.get("task", "")),
        attempt=int(number("attempt") or 0),
        start=number("start") or 0.0,
        end=number("end"),
        exit_code=number("exit_code"),
        cancelled=written.get("cancelled") is True,
        node=str(written.get("node", "")),
        peak_memory_mb=number("peak_memory_mb"),
        cpu_seconds=number("cpu_seconds"),
        restarts=int(number("restarts") or 0),
    )
