"""Tasks of earlier processes, for a process that takes them over. Pure.

A head that died has left jobs behind. The next run takes them over instead of submitting the same tasks again. A job
that continues its own run takes over all tasks, including ended ones: that is how it learns of failures.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..plan.dependency import Ref
from ..plan.model import Kind, Submission
from ..plan.task import Edge
from ..slurm.parse import Record
from ..slurm.states import JobState
from .cutoff import cut_off
from .ledger_record import Entry, LedgerRecord
from .outcome import Job

Names = Mapping[str, tuple[str, str]]
"""Name and comment of each job. A job id alone proves nothing: another cluster may use the same ids."""
Ended = Callable[[Entry], Record | None]
"""The end of a job by its own record, if it ended after the new process began to read files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedTask:
    """A task of an earlier process."""

    task: str
    label: str
    entries: tuple[Entry, ...]
    """An entry for each attempt, with its job id."""
    jobs: Mapping[int, Job]
    """By number of the attempt."""
    records: Mapping[int, Record]
    """Attempts that have ended."""
    edges: tuple[Edge, ...]
    complete: bool
    """All attempts have been submitted; False if the process died in between."""
    is_running: bool = False

    @property
    def has_succeeded(self) -> bool:
        return any(record.state is JobState.SUCCEEDED for record in self.records.values())


def left_in_queue(
    ledgers: Iterable[LedgerRecord], queue: Mapping[str, Record], names: Names, ended: Ended = lambda _entry: None
) -> tuple[QueuedTask, ...]:
    """Tasks with an attempt in the queue, or with a success that the new process cannot have seen in the files.

    Args:
        ledgers: of earlier runs, oldest first; for each task, the last ledger that has it counts.
        queue: Slurm's records, by job id.
        names: names of the jobs.
        ended: ends that the new process has not seen.
    """
    found: dict[str, QueuedTask] = {}
    known: dict[str, list[Entry]] = {}
    for ledger in ledgers:
        doomed = cut_off(ledger.entries, queue)
        for task, later in _by_task(ledger, names).items():
            entries = known[task] = _merged(known.get(task, []), later)
            ours = [entry for entry in entries if entry.job_name in names.get(entry.job_id, ())]
            seen = {entry.attempt: queue[entry.job_id] for entry in ours if entry.job_id in queue}
            late = {entry.attempt: record for entry in entries if (record := ended(entry)) is not None}
            left = _left(entries, {})
            found.pop(task, None)
            if any(record.state is JobState.SUCCEEDED for record in late.values()):
                found[task] = replace(left, records=late)
            elif any(_may_run(record) and record.job_id not in doomed for record in seen.values()):
                over = {attempt: record for attempt, record in seen.items() if not _may_run(record)}
                running = any(record.state is JobState.RUNNING for record in seen.values())
                found[task] = replace(_left(ours, over), is_running=running)
            elif not left.complete and seen and all(record.state is JobState.FAILED for record in seen.values()):
                # The next attempt has not been submitted.
                found[task] = replace(_left(ours, seen), is_running=False)
    return tuple(found.values())


def _merged(earlier: list[Entry], later: list[Entry]) -> list[Entry]:
    """Attempts of a task in two ledgers. If the later run has adopted some of them, the earlier ledger has the rest."""
    adopted = {entry.job_name for entry in earlier} & {entry.job_name for entry in later}
    both = {entry.attempt: entry for entry in (*(earlier if adopted else ()), *later)}
    return [both[attempt] for attempt in sorted(both)]


def all_of_run(ledger: LedgerRecord, names: Names) -> tuple[QueuedTask, ...]:
    """Every task of a run, ended or not."""
    return tuple(_left(entries, {}) for entries in _by_task(ledger, names).values())


def all_of_chain(ledgers: Iterable[LedgerRecord], names: Names) -> tuple[QueuedTask, ...]:
    """Every task of runs that have taken over each other, oldest first; the last ledger that has a task counts."""
    known: dict[str, list[Entry]] = {}
    for ledger in ledgers:
        for task, later in _by_task(ledger, names).items():
            known[task] = _merged(known.pop(task, []), later)
    return tuple(_left(entries, {}) for entries in known.values())


def carried_out(entries: Iterable[Entry], names: Names) -> Iterator[Entry]:
    """Submissions that Slurm has accepted; job ids with a lost answer are filled in."""
    ids = {(name, job_id.partition("_")[2]): job_id for job_id, both in names.items() for name in both if name}
    for entry in entries:
        index = "" if entry.index is None else str(entry.index)
        known = entry if entry.job_id else replace(entry, job_id=ids.get((entry.job_name, index), ""))
        if known.job_id:
            yield known


def in_queue(ledgers: Iterable[LedgerRecord], queue: Mapping[str, Record], names: Names) -> Iterator[Entry]:
    """The ledgers' entries of jobs that have not ended."""
    for ledger in ledgers:
        for entry in carried_out(ledger.entries, names):
            record = queue.get(entry.job_id)
            if record and not record.state.is_final and entry.job_name in names.get(entry.job_id, ()):
                yield entry


def _by_task(ledger: LedgerRecord, names: Names) -> dict[str, list[Entry]]:
    found: dict[str, dict[int, Entry]] = {}
    for entry in carried_out(ledger.of_kind(Kind.TASK), names):
        found.setdefault(entry.task, {})[entry.attempt] = entry  # the last entry counts
    return {task: [attempts[number] for number in sorted(attempts)] for task, attempts in found.items()}


def _may_run(record: Record) -> bool:
    return not record.state.is_final and record.state is not JobState.UNKNOWN and not record.never


def _left(entries: list[Entry], records: Mapping[int, Record]) -> QueuedTask:
    first = entries[0]
    return QueuedTask(
        task=first.task,
        label=first.label,
        entries=tuple(entries),
        jobs={
            entry.attempt: Job(
                submission=_submission(entry), job_id=entry.job_id, folder=entry.folder, log_pattern=entry.log
            )
            for entry in entries
        },
        records=records,
        edges=first.edges,
        complete=entries[-1].attempt >= entries[-1].attempts,
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
        logs=entry.logs,
        spared=entry.spared,
        units=entry.units,
        segments=entry.segments,
    )
