"""Queries all jobs of a run: slurmctld's list and, for jobs that are not in it, accounting, slurmctld by job id, and
the job's own record.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SlurmError
from ..plan.dependency import Ref
from ..slurm.client import Slurm
from ..slurm.parse import Record, records_of
from ..slurm.states import JobState
from .records import step_record
from .watch import Followed

FolderOf = Callable[[Ref], Path]
"""The folder of the run that made a submission."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """The result of a query."""

    seen: Mapping[str, Record]
    """By job id; a job that no source knows is absent."""
    never: frozenset[str] = frozenset()
    """Jobs that were cancelled because they could never start, on sites where Slurm does not do that."""
    failure: SlurmError | None = field(default=None, compare=False)
    """A source did not answer. Jobs whose end is in no other source keep their state."""


def look(slurm: Slurm, followed: Mapping[str, Followed], folder_of: FolderOf) -> Observation:
    """A single query for all jobs, and further queries for jobs that have vanished from slurmctld's list.

    Raises:
        SlurmError: slurmctld did not answer, so nothing is known.
    """
    seen = records_of(followed, slurm.queue())
    never = frozenset(job_id for job_id, record in seen.items() if record.never and record.state is JobState.WAITING)
    if never:
        slurm.cancel(never, pending_only=True)
    vanished = followed.keys() - seen.keys()
    failure: SlurmError | None = None
    try:
        seen |= {record.job_id: record for record in (slurm.accounting(vanished) if vanished else ())}
    except SlurmError as error:
        failure = error
    unknown = vanished - seen.keys()
    own = {record.job_id: record for record in _own_records(unknown, followed, folder_of)}
    # A requeued job has recorded the end of its previous run.
    unsure = {job_id for job_id in unknown if job_id not in own or own[job_id].state is not JobState.SUCCEEDED}
    try:
        seen |= records_of(unsure, (job.record for job in slurm.show(unsure))) if unsure else {}
    except SlurmError as error:
        failure = error
    seen |= {job_id: record for job_id, record in own.items() if job_id not in seen}
    if failure is not None:
        left = [followed[job_id] for job_id in unknown - seen.keys()]
        seen |= {job.job_id: Record(job_id=job.job_id, state=job.state, word=job.state.value) for job in left}
    return Observation(seen=seen, never=never, failure=failure)


def _own_records(job_ids: Collection[str], followed: Mapping[str, Followed], folder_of: FolderOf) -> Iterator[Record]:
    for job_id in job_ids:
        written = step_record(folder_of(followed[job_id].ref), job_id)
        if written is not None and (record := written.as_record()) is not None:
            yield record
