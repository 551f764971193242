"""What Slurm says of jobs by more than one source: that a list leaves a job out does not mean that it has ended."""

from collections.abc import Collection

from ..slurm.client import Slurm
from ..slurm.parse import Record, records_of


def asked(slurm: Slurm, job_ids: Collection[str]) -> dict[str, Record]:
    """What the controller says of these jobs: by its list, and by their ids of those that the list leaves out.

    Raises:
        SlurmError: one of both could not be had, so nothing is known.
    """
    listed = records_of(job_ids, slurm.queue())
    left_out = {job_id for job_id in job_ids if job_id} - listed.keys()
    return listed | records_of(left_out, (one.record for one in slurm.show(left_out)))
