"""Whether an attempt should still run when Slurm starts it.

`afternotok` also holds for an earlier attempt that the user has cancelled, and for an attempt that Slurm no longer
knows, however it ended. So the attempt checks itself: Slurm's state of the earlier jobs, then their own records, then
accounting.

A segment also does not run when the one before it has failed, and not only been cut short (`run/segments.py`).
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from ..errors import KempnerError, SlurmError, SlurmUnreachable
from ..plan.step import StepSpec
from ..run.elsewhere import after_others
from ..run.records import StepRecord, read_record
from ..run.segments import has_failed, passed_over
from ..run.sources import controller_records
from ..slurm.client import Slurm, SlurmCommands
from ..slurm.ids import own_job_id
from ..slurm.parse import Record
from ..slurm.states import JobState

_TRIES, _PAUSE = 3, 2.0
_SHORT = 5.0
"""Timeout in seconds for a query from a job that is about to be killed."""


def decided_before(spec: StepSpec, connect: Callable[[], Slurm]) -> int | None:
    """The exit code of a job that must not run because of how an earlier attempt ended; None if it should run."""
    if not spec.earlier_attempts:
        return None
    slurm = connect()
    try:
        known = _patiently(lambda: controller_records(slurm, spec.earlier_attempts))
        was_answered = True
    except SlurmError as error:
        _say(spec, f"Slurm could not be asked about earlier attempts: {error}")
        known, was_answered = {}, False
    ends = {job_id: known.get(job_id) or _written(spec, job_id) for job_id in spec.earlier_attempts}
    ends |= _accounted(slurm, [job_id for job_id, end in ends.items() if end is None])
    known_ends = [(job_id, attempt, ends[job_id]) for job_id, attempt in _with_attempts(spec)]
    code, why = _of_all(spec, known_ends, was_answered=was_answered)
    if why:
        _say(spec, why)
    if code is None and spec.elsewhere:
        with suppress(KempnerError):  # it is for the attempts behind this one
            after_others(Path(spec.elsewhere), slurm, own_job_id(os.environ), ends)
    return code


Ends = Sequence[tuple[str, int, Record | None]]
"""Of each earlier job: its id, the number of its attempt, and its end."""


def _with_attempts(spec: StepSpec) -> Iterator[tuple[str, int]]:
    """Where no attempt has segments, each job is an attempt of its own."""
    return zip(spec.earlier_attempts, spec.earlier_tries or count(-len(spec.earlier_attempts)), strict=False)


def _of_all(spec: StepSpec, ends: Ends, *, was_answered: bool) -> tuple[int | None, str]:
    """As `decided_before`, with the reason."""
    for job_id, _, end in ends:
        if end is not None and end.state is JobState.SUCCEEDED:
            return 0, f"Slurm job {job_id} has succeeded, so there is no further attempt."
    skipped = passed_over(ends)
    for job_id, _, end in ends:
        if job_id in skipped:
            continue
        if end is not None and end.state is JobState.CANCELLED and not end.never:
            return 1, f"Slurm job {job_id} was cancelled, so there is no further attempt."
        if end is None and was_answered and _record(spec, job_id) is None:
            return 1, (
                f"nobody knows what became of Slurm job {job_id}: Slurm has forgotten it and it never wrote anything down, as "
                "a job that is cancelled before it starts. So there is no further attempt; give the same command again."
            )
    return _of_segments([(job_id, end) for job_id, attempt, end in ends if attempt == spec.attempt])


def _of_segments(before: Sequence[tuple[str, Record | None]]) -> tuple[int | None, str]:
    """What the segments before this one, of the same attempt, decide."""
    failed = [job_id for job_id, end in before if has_failed(end)]
    if failed:
        return 1, f"Slurm job {failed[0]}, a segment before it, has failed, so this attempt has no further segment."
    lost = [job_id for job_id, end in before if end is None]
    if lost:
        return None, f"nobody knows how Slurm job {lost[0]} ended. It had started and is gone: this segment goes on."
    return None, ""


def was_cancelled(job_id: str) -> bool:
    """Whether this job is being cancelled by a user: unlike at a time limit, Slurm then gives no reason."""
    try:
        shown = SlurmCommands(timeout=_SHORT).show([job_id])
    except SlurmError:
        return False
    mine = next((job.record for job in shown if job.record.job_id == job_id), None)
    return mine is not None and mine.word in ("COMPLETING", "CANCELLED") and not mine.reason


def _patiently(ask: Callable[[], Mapping[str, Record]]) -> Mapping[str, Record]:
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except SlurmUnreachable:
            time.sleep(_PAUSE)
    return ask()


def _record(spec: StepSpec, job_id: str) -> StepRecord | None:
    """The job's own record, in the folder of this run or of an earlier run."""
    own = Path(spec.records)
    for path in (own / f"{job_id}.json", *sorted(own.parent.parent.glob(f"*/{own.name}/{job_id}.json"))):
        written = read_record(path, job_id)
        if written is not None and written.task == spec.task:  # another cluster may count from 1 too
            return written
    return None


def _written(spec: StepSpec, job_id: str) -> Record | None:
    with suppress(OSError):  # only runs that may end without a head have marks, and only for successful tasks
        if spec.mark and Path(spec.mark).read_text(encoding="utf-8") == job_id:
            return Record(job_id=job_id, state=JobState.SUCCEEDED, word="COMPLETED", exit_code=0)
    written = _record(spec, job_id)
    return written.as_record() if written else None


def _accounted(slurm: Slurm, job_ids: list[str]) -> dict[str, Record]:
    try:
        told = slurm.accounting(job_ids) if job_ids else ()
    except SlurmError:
        return {}
    return {record.job_id: record for record in told if record.state.is_final}


def _say(spec: StepSpec, text: str) -> None:
    print(f"kempner: {spec.task}: {text}", file=sys.stderr)
