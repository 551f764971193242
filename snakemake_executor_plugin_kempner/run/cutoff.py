"""Which jobs of a run can no longer start. Pure."""

from collections.abc import Collection, Mapping, Sequence

from ..plan.dependency import DependencyType, parse
from ..slurm.parse import Record
from ..slurm.states import JobState
from .ledger import Entry


def cut_off(entries: Sequence[Entry], seen: Mapping[str, Record]) -> set[str]:
    """Waiting jobs that can no longer start, down to the end of each chain.

    Slurm says so of one link at a time, some seconds after it has noticed the one before.
    """
    gone = {job_id for job_id, record in seen.items() if record.state in (JobState.FAILED, JobState.CANCELLED)}
    well = {job_id for job_id, record in seen.items() if record.state is JobState.SUCCEEDED}
    doomed: set[str] = set()
    for entry in entries:  # in the order of submission: each after what it waits for
        record = seen.get(entry.job_id)
        if record is None or record.state is not JobState.WAITING:
            continue
        if record.never or _cannot_hold(entry.dependency, gone, well):
            doomed.add(entry.job_id)
            gone.add(entry.job_id)
    return doomed


def _cannot_hold(dependency: str, gone: Collection[str], well: Collection[str]) -> bool:
    if not dependency:
        return False
    needs_all, terms = parse(dependency)
    impossible = [
        (kind is DependencyType.AFTEROK and job_id in gone) or (kind is DependencyType.AFTERNOTOK and job_id in well)
        for kind, job_id in terms
    ]
    return any(impossible) if needs_all else all(impossible)
