"""Which jobs of a run can no longer start. Pure."""

from collections.abc import Collection, Mapping, Sequence

from ..plan.dependency import DependencyType, array_of, parse
from ..slurm.parse import Record
from ..slurm.states import JobState
from .ledger_record import Entry


def cut_off(entries: Sequence[Entry], seen: Mapping[str, Record]) -> set[str]:
    """Pending jobs that can no longer start, down to the end of each chain.

    Slurm itself marks only the next job of a chain, and takes some seconds for each.
    """
    gone = {job_id for job_id, record in seen.items() if record.state in (JobState.FAILED, JobState.CANCELLED)}
    gone |= {array_of(job_id) for job_id in gone}  # an array has not succeeded if any element has not
    well = {job_id for job_id, record in seen.items() if record.state is JobState.SUCCEEDED}
    doomed: set[str] = set()
    waiting = [entry for entry in entries if (record := seen.get(entry.job_id)) and record.state is JobState.WAITING]
    found = True
    while found:  # usually a single pass: only adopted jobs of earlier runs may be out of order
        found = False
        for entry in waiting:
            hopeless = seen[entry.job_id].never or _cannot_hold(entry.dependency, gone, well)
            if hopeless and entry.job_id not in doomed:
                doomed.add(entry.job_id)
                gone |= {entry.job_id, array_of(entry.job_id)}
                found = True
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
