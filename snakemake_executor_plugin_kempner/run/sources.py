"""Looks up jobs by more than one query: a job that is missing from the queue's list need not have ended."""

from collections.abc import Collection

from ..slurm.client import Slurm
from ..slurm.parse import Record, records_of


def controller_records(slurm: Slurm, job_ids: Collection[str]) -> dict[str, Record]:
    """Slurmctld's records of these jobs, from its list of jobs and, for jobs that are not in it, by their ids.

    Raises:
        SlurmError: one of the queries failed, so nothing is known.
    """
    listed = records_of(job_ids, slurm.queue())
    left_out = {job_id for job_id in job_ids if job_id} - listed.keys()
    return listed | records_of(left_out, (job.record for job in slurm.show(left_out)))
