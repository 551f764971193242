"""Finds what earlier runs in a folder have left, in their ledgers and in Slurm."""

import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..errors import SlurmError, SlurmUnreachable
from ..plan.model import Kind
from ..slurm.client import Slurm
from ..slurm.parse import Record, records_of
from ..slurm.states import JobState
from .adopt import Names, QueuedTask, in_queue, left_in_queue
from .belonging import is_here, other_path, other_user
from .cluster import refuse_other_cluster
from .ledger_record import Entry, LedgerRecord
from .ledgers import open_ledgers
from .records import own_record
from .submit import PATIENCE, SETTLE

T = TypeVar("T")
_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_CONTRADICTED, _AGAIN = 60, 5
"""Seconds for which accounting may lag behind slurmctld, and between two queries about it."""
_NAMED = 5
"""How many jobs a message lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierRuns:
    """What earlier runs have left."""

    ledgers: tuple[LedgerRecord, ...]
    """Ledgers that are not closed, oldest first."""
    left: tuple[QueuedTask, ...]
    """Tasks to take over."""
    finished: int = 0
    """Number of tasks that have succeeded while no head was watching."""
    jobs: Mapping[str, Entry] = field(default_factory=dict)
    """All jobs still in the queue, including helpers, by job id."""

    @property
    def runs(self) -> str:
        """Names of the runs with tasks to take over."""
        left = {entry.folder for task in self.left for entry in task.entries}
        return ", ".join(dict.fromkeys(Path(folder).name for folder in sorted(left)))

    @property
    def unplanned(self) -> tuple[LedgerRecord, ...]:
        """Runs with a continuation in the queue, which would submit more tasks."""
        waiting = {job_id for job_id, entry in self.jobs.items() if entry.kind == Kind.CONTINUATION.value}
        return tuple(ledger for ledger in self.ledgers if any(entry.job_id in waiting for entry in ledger.entries))

    def line(self, to_submit: int) -> str:
        """`Goes on with run 3f2a: 41 finished meanwhile, 7 running, 12 queued, 3 to submit.`"""
        waiting = [task for task in self.left if not task.has_succeeded]
        running = sum(task.is_running for task in waiting)
        numbers = f"{running} running, {len(waiting) - running} queued, {to_submit} to submit"
        return f"Goes on with run {self.runs}: {self.finished} finished meanwhile, {numbers}."


def look_back(runs: Path, workdir: str, slurm: Slurm, since: float, warn: Callable[[str], None]) -> EarlierRuns:
    """Find what is left of the runs of this user below a folder.

    Args:
        runs: `.snakemake/kempner`.
        workdir: where they must have been started; the ledgers in a copied folder are about other files.
        slurm: the scheduler.
        since: when the new process began to read files, in seconds since 1970. Tasks that have ended later may look
            unfinished to it.
        warn: gets a message for each ledger that is skipped.

    Raises:
        LedgerError: a ledger has a version that this package does not know.
        SlurmError: Slurm did not answer, or is another cluster's, so nothing is known.
    """
    ledgers = tuple(record for record in open_ledgers(runs) if not other_user(record.folder))
    foreign = {ledger.run: str(ledger.header.get("workdir", "")) for ledger in ledgers if not is_here(ledger, workdir)}
    for run, place in ((run, place) for run, place in foreign.items() if place):
        warn(
            f"The record of run {run} in this folder speaks of jobs started in {place}: this is a copy of that folder. "
            f"Its jobs are left alone; they write to {place}."
        )
    ledgers = tuple(ledger for ledger in ledgers if ledger.run not in foreign)
    for told in filter(None, (other_path(ledger, workdir) for ledger in ledgers)):
        warn(told)
    if not ledgers:
        return EarlierRuns(ledgers=(), left=())

    def ask() -> tuple[dict[str, Record], Names]:
        refuse_other_cluster(ledgers, slurm)
        _wait_for_unanswered(ledgers, slurm, warn)
        queue, names = seen(ledgers, slurm)
        _check_gone(ledgers, queue, slurm)
        return queue, names

    queue, names = patiently(ask, warn)

    def ended(entry: Entry) -> Record | None:
        written = own_record(entry)
        return written.as_record() if written and written.end is not None and written.end >= since else None

    return EarlierRuns(
        ledgers=ledgers,
        left=left_in_queue(ledgers, queue, names, ended),
        finished=len(
            {entry.task for ledger in ledgers for entry in ledger.of_kind(Kind.TASK) if _ended_unseen(ledger, entry)}
        ),
        jobs={entry.job_id: entry for entry in in_queue(ledgers, queue, names)},
    )


def patiently(ask: Callable[[], T], warn: Callable[[str], None]) -> T:
    """Repeat a query until slurmctld answers, for as long as a running head does."""
    end, pause = time.time() + PATIENCE, _PAUSE
    while True:
        try:
            return ask()
        except SlurmUnreachable as error:
            if time.time() >= end:
                raise
            warn(f"Slurm could not be asked about the runs of this folder, again in {pause:.0f} s: {error}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _wait_for_unanswered(ledgers: Iterable[LedgerRecord], slurm: Slurm, warn: Callable[[str], None]) -> None:
    """Wait for requests of a head that died during a submission: Slurm may carry them out a little later."""
    unanswered = [ledger.entries[-1] for ledger in ledgers if ledger.entries and not ledger.entries[-1].job_id]
    told = False
    for entry in unanswered:
        # Bounded by this process's clock too: the other machine's clock may be wrong.
        for _ in range(int(SETTLE)):
            if time.time() - entry.time >= SETTLE or slurm.find(entry.job_name):
                break
            if not told:
                warn(f"The head before died while it submitted {entry.label}; waiting whether Slurm still takes it.")
                told = True
            time.sleep(_PAUSE)


def _ended_unseen(ledger: LedgerRecord, entry: Entry) -> bool:
    if not entry.job_id or entry.job_id in ledger.noted:
        return False
    written = own_record(entry)
    return written is not None and written.exit_code == 0


def seen(ledgers: Collection[LedgerRecord], slurm: Slurm) -> tuple[dict[str, Record], Names]:
    """Slurm's records of the ledgers' jobs, including array elements that have vanished from the list, and their names.

    Jobs that are missing from the list are looked up by id, unless the ledger or the job's own record has their end.
    """
    records, names = slurm.queue(), dict(slurm.names())
    entries = [entry for ledger in ledgers for entry in ledger.entries]
    listed = records_of({entry.job_id for entry in entries} | _ids(records), records)
    left_out = {entry.job_id for ledger in ledgers for entry in _of_open_end(ledger, listed)}
    unanswered = {entry.job_name for entry in entries if not entry.job_id}
    unanswered -= {name for both in names.values() for name in both}
    left_out |= {job_id for name in unanswered for job_id in slurm.find(name)}
    shown = slurm.show(left_out)
    names |= {job.record.job_id: (job.name, job.comment) for job in shown}
    told = tuple(job.record for job in shown)
    return listed | records_of(left_out | _ids(told), told), names


def _ids(records: Iterable[Record]) -> set[str]:
    return {record.job_id for record in records}


def _of_open_end(ledger: LedgerRecord, known: Container[str]) -> Iterator[Entry]:
    """Jobs that are not in Slurm's answers, and whose end is neither in the ledger nor in their own records."""
    for entry in ledger.entries:
        if entry.job_id and entry.job_id not in ledger.noted and entry.job_id not in known:
            written = own_record(entry)
            if written is None or written.exit_code != 0:
                yield entry


def _check_gone(ledgers: Iterable[LedgerRecord], queue: Mapping[str, Record], slurm: Slurm) -> None:
    """Check jobs that slurmctld knows neither in its list nor by id: they are gone, unless accounting contradicts.

    Raises:
        SlurmError: accounting has jobs as queued or running that slurmctld does not know.
    """
    gone = {entry.job_id: entry for ledger in ledgers for entry in _of_open_end(ledger, queue)}
    alive: list[Record] = []
    for waited in range(0, _CONTRADICTED + 1, _AGAIN) if gone else ():
        time.sleep(_AGAIN if waited else 0)
        try:
            alive = [
                record for record in slurm.accounting(gone) if record.state in (JobState.WAITING, JobState.RUNNING)
            ]
        except SlurmError:  # slurmctld's two answers are enough
            return
        if not alive:
            return
    if alive:
        named = ", ".join(f"{record.job_id} ({gone[record.job_id].label}, {record.word})" for record in alive[:_NAMED])
        folders = " ".join(sorted({gone[record.job_id].folder for record in alive}))
        raise SlurmError(
            f"The controller does not know jobs of an earlier run that accounting holds for queued or running: {named}. "
            "Nothing is submitted, because they might run twice, and nothing is closed. If they are lost "
            f"(sacctmgr show runawayjobs), remove the record of that run and run this again: {folders}"
        )


def entries_in_queue(ledger: LedgerRecord, slurm: Slurm) -> tuple[Entry, ...]:
    """The jobs of a run that have not ended.

    Raises:
        SlurmError: Slurm did not answer.
    """
    return tuple(in_queue([ledger], *seen([ledger], slurm)))
