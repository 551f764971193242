"""What earlier runs of the same workflow have left in the queue, for a run that starts. Pure.

A head that died has left jobs behind. The next run takes them over instead of submitting the same tasks a second time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..plan.dependency import Ref
from ..plan.model import Edge, Kind, Submission
from ..slurm.parse import Record
from ..slurm.states import JobState
from .cutoff import cut_off
from .ledger import Entry
from .ledger import Record as LedgerRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A task of an earlier run of which at least one attempt has not ended."""

    task: str
    label: str
    jobs: Mapping[int, tuple[Submission, str]]
    """Submission and job id, by number of the attempt."""
    records: Mapping[int, Record]
    """Attempts that have ended."""
    edges: tuple[Edge, ...]
    complete: bool
    """All attempts have been submitted; else the head died in between."""


def left_in_queue(
    ledgers: Iterable[LedgerRecord], queue: Mapping[str, Record], names: Mapping[str, tuple[str, str]]
) -> tuple[Left, ...]:
    """Tasks of the ledgers that are still in the queue.

    Args:
        ledgers: of earlier runs, oldest first; the last one that knows a task counts.
        queue: what Slurm says, by job id.
        names: name and comment of each job. A number alone proves nothing: another cluster may count from 1 too.
    """
    found: dict[str, Left] = {}
    ids = {name: job_id for job_id, both in names.items() for name in both if name}
    for ledger in ledgers:
        doomed = cut_off(ledger.entries, queue)
        by_task: dict[str, list[Entry]] = {}
        for entry in ledger.entries:
            if entry.kind == Kind.TASK.value:
                by_task.setdefault(entry.task, []).append(entry)
        for task, entries in by_task.items():
            known = [replace(entry, job_id=entry.job_id or ids.get(entry.job_name, "")) for entry in entries]
            ours = [entry for entry in known if entry.job_name in names.get(entry.job_id, ())]
            records = {entry.attempt: queue[entry.job_id] for entry in ours if entry.job_id in queue}
            alive = any(_may_run(record) and record.job_id not in doomed for record in records.values())
            if alive:
                found[task] = _left(task, ours, records)
    return tuple(found.values())


def _may_run(record: Record) -> bool:
    return not record.state.is_final and record.state is not JobState.UNKNOWN and not record.never


def _left(task: str, entries: list[Entry], records: Mapping[int, Record]) -> Left:
    return Left(
        task=task,
        label=entries[0].label,
        jobs={entry.attempt: (_submission(entry), entry.job_id) for entry in entries},
        records={attempt: record for attempt, record in records.items() if not _may_run(record)},
        edges=entries[0].edges,
        complete=len(entries) == entries[0].attempts,
    )


def _submission(entry: Entry) -> Submission:
    return Submission(
        ref=Ref(entry.task, entry.attempt),
        kind=Kind.TASK,
        label=entry.label,
        job_name=entry.job_name,
        options=entry.options,
        script="",
        log=entry.log,
        spared=entry.spared,
    )


def counted(left: Iterable[Left], queue: Mapping[str, Record]) -> Iterator[tuple[str, int]]:
    """How many of the tasks run and how many wait."""
    states = [
        any(queue[job_id].state is JobState.RUNNING for _, job_id in one.jobs.values() if job_id in queue)
        for one in left
    ]
    yield "running", sum(states)
    yield "waiting", len(states) - sum(states)
