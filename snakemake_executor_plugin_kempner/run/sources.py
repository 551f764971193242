"""Looks up jobs by more than one query: a job that is missing from the queue's list need not have ended."""

from collections.abc import Collection, Iterable, Mapping

from ..slurm.client import Slurm
from ..slurm.parse import Record, records_of
from .ledger_record import Entry
from .records import own_record


def controller_records(slurm: Slurm, job_ids: Collection[str]) -> dict[str, Record]:
    """Slurmctld's records of these jobs, from its list of jobs and, for jobs that are not in it, by their ids.

    Raises:
        SlurmError: one of the queries failed, so nothing is known.
    """
    listed = records_of(job_ids, slurm.queue())
    left_out = {job_id for job_id in job_ids if job_id} - listed.keys()
    return listed | records_of(left_out, (job.record for job in slurm.show(left_out)))


def with_written(known: Mapping[str, Record], entries: Iterable[Entry]) -> dict[str, Record]:
    """What Slurm knows, and, of jobs that it has forgotten, the ends that they have written down."""
    forgotten = (entry for entry in entries if entry.job_id not in known)
    written = (own_record(entry) for entry in forgotten)
    ends = (record.as_record() for record in written if record is not None)
    return {end.job_id: end for end in ends if end is not None} | dict(known)
