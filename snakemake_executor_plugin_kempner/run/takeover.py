"""Takes over what earlier runs have left, closes it or cancels it."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ..errors import SlurmError
from ..options import NO_OPTIONS
from ..plan.asking import options_at
from ..plan.model import LOOK_AFTER, Kind
from ..plan.reserves import unreserved
from ..plan.slurm_extra import SET_BY_PLUGIN
from ..plan.task import Task
from ..site.model import Site
from ..slurm.client import Slurm
from ..slurm.ids import in_order
from ..slurm.states import JobState
from .adopt import QueuedTask, all_of_run
from .ledger import Ledger
from .opening import EarlierRuns
from .records import own_record
from .result import Result
from .sources import controller_records

_LEAVING = 60.0
"""Seconds that a cancelled job may take to leave its node."""
_PAUSE = 1.0


def close_earlier(found: EarlierRuns, run: str, slurm: Slurm, result: Result = Result.UNKNOWN) -> None:
    """Close earlier runs: from now on, the run with that name looks after what is left. Without one, they have ended.

    Raises:
        SlurmError: closing jobs of earlier runs could not be cancelled.
    """
    helpers = [job_id for job_id, entry in found.jobs.items() if entry.kind in LOOK_AFTER]
    if helpers:
        slurm.cancel(helpers)
    kept = {job.job_id for task in found.left if not task.has_succeeded for job in task.jobs.values()}
    over = [job_id for job_id, entry in found.jobs.items() if entry.kind == Kind.TASK.value and job_id not in kept]
    if over:  # jobs that can no longer start and that Slurm does not remove; their tasks are submitted again
        slurm.cancel(over, pending_only=True)
    for ledger in found.ledgers:
        Ledger(ledger.folder).close(by=run, result=result)


def changes(task: Task, left: QueuedTask, site: Site | None = None) -> tuple[str, ...]:
    """What has changed in the workflow since the task was submitted: `code`, `params`, `resources`, …"""
    first = left.entries[0]
    changed = [name for name, digest in task.content.items() if first.content.get(name, digest) != digest]
    for attempt in task.attempts:
        entry = next((known for known in left.entries if known.attempt == attempt.number), None)
        is_light = attempt.step.light is not None
        now = options_at(site, task.label, attempt.resources, attempt.threads, is_light=is_light).sbatch
        before = NO_OPTIONS if entry is None else unreserved(entry.options).without(*SET_BY_PLUGIN, "clusters")
        if entry is not None and now.without("clusters") != before:  # a run has one cluster, however it was named
            changed.append("resources")
            break
    return tuple(changed)


def keep(found: EarlierRuns, tasks: Collection[str]) -> EarlierRuns:
    """Keep these tasks as succeeded, as their jobs' own records say."""
    kept: dict[str, QueuedTask] = {}
    for ledger in found.ledgers:
        for task in all_of_run(ledger, {}):
            ends = {entry.attempt: written.as_record() for entry in task.entries if (written := own_record(entry))}
            records = {number: record for number, record in ends.items() if record is not None}
            if task.task in tasks and any(record.state is JobState.SUCCEEDED for record in records.values()):
                kept[task.task] = replace(task, records=records)
    return replace(found, left=(*kept.values(), *(task for task in found.left if task.task not in kept)))


def without_tasks(found: EarlierRuns, tasks: Collection[str]) -> EarlierRuns:
    """What is left without tasks and their direct and indirect dependants."""
    gone = set(tasks)
    for task in found.left:  # in the order of submission: each after what it waits for
        if any(edge.on in gone for edge in task.edges):
            gone.add(task.task)
    return replace(found, left=tuple(task for task in found.left if task.task not in gone))


def cancel_tasks(found: EarlierRuns, tasks: Collection[str], slurm: Slurm) -> EarlierRuns:
    """Cancel tasks and their direct and indirect dependants; returns what is left.

    Raises:
        SlurmError: the jobs do not leave the queue.
    """
    left = without_tasks(found, tasks)
    kept = {task.task for task in left.left}
    jobs = {job.job_id for task in found.left if task.task not in kept for job in task.jobs.values()}
    for ledger in found.ledgers:  # first: the guards wake up, and must not take this for a failure
        Ledger(ledger.folder).cancelled(jobs & {entry.job_id for entry in ledger.entries})
    cancel_and_wait(jobs, slurm)
    return left


def cancel_found(
    found: EarlierRuns,
    slurm: Slurm,
    unexplained: Mapping[str, str] = MappingProxyType({}),
    finish: Callable[[Path], None] = lambda _folder: None,
) -> str:
    """Cancel all jobs of earlier runs, including closing jobs, and close their ledgers; returns a message.

    Args:
        found: the jobs in their ledgers.
        slurm: the scheduler.
        unexplained: names of jobs, by id, that belong to runs of this folder but are in no ledger.
        finish: does what is to be done at the end of the run in a folder.

    Raises:
        SlurmError: the jobs do not leave the queue.
    """
    names = {job_id: entry.job_name for job_id, entry in found.jobs.items()} | dict(unexplained)
    runs = ", ".join(sorted({name.rsplit(".", 2)[1] for name in names.values()}))
    cancel_and_wait(names, slurm)
    for ledger in found.ledgers:
        record, known = Ledger(ledger.folder), {entry.job_name for entry in ledger.entries}
        record.cancelled(job_id for job_id, entry in found.jobs.items() if entry.job_name in known)
        finish(ledger.folder)
        record.close(result=Result.CANCELLED)
    if not names:
        return "No job of an earlier run in this folder is in the queue."
    return f"Cancelled the {len(names)} Slurm jobs of run {runs}."


def cancel_and_wait(job_ids: Collection[str], slurm: Slurm) -> None:
    """Cancel jobs and wait until they have left their nodes, so that they no longer write files."""
    if job_ids:
        slurm.cancel(job_ids)
    waited = 0.0
    while left := in_order(
        job_id for job_id, record in controller_records(slurm, job_ids).items() if not record.state.is_final
    ):
        if waited >= _LEAVING:
            raise SlurmError(f"Cancelled jobs have not left the queue after {waited:.0f} s: {' '.join(left)}")
        time.sleep(_PAUSE)
        waited += _PAUSE
