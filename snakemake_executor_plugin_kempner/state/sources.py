"""Reads what there is about a run: ledgers, records of jobs, the queue, and accounting for jobs that have vanished."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..errors import SlurmError
from ..layout import ENDED
from ..plan.model import Kind
from ..run.adopt import carried_out
from ..run.claim import watcher
from ..run.ledger_record import Entry, LedgerRecord
from ..run.ledgers import taken_over
from ..run.records import StepRecord, read_record
from ..run.stopping import stopped_jobs
from ..slurm.ids import array_id
from ..slurm.listing import Listed
from ..slurm.parse import Record, record_of
from ..slurm.states import JobState, job_state

JobKey = tuple[str, str]
"""Id and name of a job."""


def key_of(entry: Entry) -> JobKey:
    return entry.job_id, entry.job_name


class Asks(Protocol):
    """The queries that the state of a run needs."""

    def listing(self) -> tuple[Listed, ...]: ...

    def cluster(self) -> str: ...

    def accounting(self, job_ids: Collection[str]) -> tuple[Record, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All that is known about a run."""

    ledger: LedgerRecord
    earlier: tuple[LedgerRecord, ...] = ()
    """Of the runs that it has taken over, oldest first."""
    listed: Mapping[str, Listed] = field(default_factory=dict)
    """Jobs of the run in Slurm's list, by id."""
    written: Mapping[JobKey, StepRecord] = field(default_factory=dict)
    """What jobs have recorded themselves."""
    accounted: Mapping[str, Record] = field(default_factory=dict)
    """What accounting says of jobs whose end is nowhere else."""
    stopped: frozenset[str] = frozenset()
    """Jobs that were cancelled because the run stopped."""
    watched_by: str = ""
    unanswered: str = ""
    """Why Slurm could not be asked."""

    @property
    def ledgers(self) -> tuple[LedgerRecord, ...]:
        return (*self.earlier, self.ledger)

    @property
    def names(self) -> dict[str, tuple[str, str]]:
        """Name and comment of each job in the list."""
        return {job_id: (job.name, job.comment) for job_id, job in self.listed.items()}

    def in_list(self, entry: Entry) -> Listed | None:
        """The job in Slurm's list."""
        listed = self.listed.get(entry.job_id)
        return listed if listed is not None and entry.job_name in (listed.name, listed.comment) else None

    def end(self, entry: Entry) -> Record | None:
        """What is known of a job: Slurm's word, the ledger's, its own, accounting's; None if nothing is."""
        if (listed := self.in_list(entry)) is not None:
            return listed.record
        written = self.written.get(key_of(entry))
        own = written.as_record() if written else None
        if entry.job_id in self.given_again:
            return own
        noted = next((end for ledger in self.ledgers if (end := _noted(ledger, entry.job_id)) is not None), None)
        return noted or own or self.accounted.get(entry.job_id)

    @cached_property
    def given_again(self) -> frozenset[str]:
        """Ids that two jobs have had, since a slurmctld that was killed had forgotten the first."""
        names = {(entry.job_id, entry.job_name) for ledger in self.ledgers for entry in ledger.entries if entry.job_id}
        return frozenset(job_id for job_id, times in Counter(job_id for job_id, _ in names).items() if times > 1)


def read_sources(ledger: LedgerRecord, slurm: Asks) -> Sources:
    """Read all that is known about a run; a Slurm that does not answer is noted, and no error.

    Raises:
        LedgerError: a ledger of a run that it has taken over cannot be read.
    """
    earlier = sorted(
        (known for known in taken_over(ledger) if known.run != ledger.run),
        key=lambda known: known.began,
    )
    chain = (*earlier, ledger)
    listing, unanswered = _answer(slurm.listing)
    listed = _of_run(listing, {entry.job_name for known in chain for entry in known.entries})
    names = {job_id: (job.name, job.comment) for job_id, job in listed.items()}
    entries = [entry for known in chain for entry in carried_out(known.entries, names)]
    # The record with an array's own id stands for elements that have vanished.
    arrays = {
        entry.job_id: array
        for entry in entries
        if entry.job_id not in listed and (array := listed.get(array_id(entry.job_id))) is not None
    }
    sources = Sources(
        ledger=ledger,
        earlier=tuple(earlier),
        listed={job_id: _of(job_id, job) for job_id, job in (listed | arrays).items()},
        written=_written(entries),
        stopped=frozenset().union(*(stopped_jobs(known.folder) | _withdrawn(known) for known in chain)),
        watched_by=watcher(ledger.folder.parent, lambda job_id: _runs(listing, job_id)),
        unanswered=unanswered,
    )
    unsure = [entry.job_id for entry in entries if entry.kind == Kind.TASK.value and sources.end(entry) is None]
    if not unsure or unanswered:
        return sources
    if elsewhere := _elsewhere(chain, slurm):
        return replace(sources, unanswered=elsewhere)
    accounted, _ = _answer(lambda: slurm.accounting(unsure))
    return replace(sources, accounted={record.job_id: record for record in accounted})


def _elsewhere(ledgers: Iterable[LedgerRecord], slurm: Asks) -> str:
    """Why this Slurm cannot tell what became of jobs that it does not list; empty if it can."""
    try:
        here = slurm.cluster()
    except SlurmError as error:
        return str(error)
    there = next((there for ledger in ledgers if (there := ledger.header.get("cluster") or here) != here), "")
    return f"this is {here}, and the run was started on {there}" if there else ""


def _answer(ask: Callable[[], Iterable[Any]]) -> tuple[tuple[Any, ...], str]:
    try:
        return tuple(ask()), ""
    except SlurmError as error:
        return (), str(error)


def _of(job_id: str, job: Listed) -> Listed:
    if job.job_id == job_id:
        return job
    record = record_of(job_id, {job.job_id: job.record})
    return Listed(record=record or job.record, name=job.name, comment=job.comment)


def _of_run(listing: Iterable[Listed], names: Container[str]) -> dict[str, Listed]:
    """Jobs of the run, by id: an id alone proves nothing, since another cluster may use the same."""
    return {job.job_id: job for job in listing if job.name in names or job.comment in names}


def _runs(listing: Iterable[Listed], job_id: str) -> bool:
    return any(job.job_id == job_id and not job.record.state.is_final for job in listing)


def _written(entries: Iterable[Entry]) -> dict[JobKey, StepRecord]:
    """The records of jobs; those that have not started have none, so each folder is listed once."""
    there: dict[str, tuple[Path, set[str]]] = {}
    found: dict[JobKey, StepRecord] = {}
    for entry in entries:
        if entry.kind != Kind.TASK.value:
            continue
        if entry.folder not in there:
            folder = Path(entry.folder) / ENDED
            there[entry.folder] = folder, _files(folder)
        folder, files = there[entry.folder]
        name = f"{entry.job_id}.json"
        record = read_record(folder / name, entry.job_id) if name in files else None
        if record is not None and record.is_of(entry):
            found[key_of(entry)] = record
    return found


def _files(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _withdrawn(ledger: LedgerRecord) -> frozenset[str]:
    return ledger.cancelled - ledger.cancelled_by_user


def _noted(ledger: LedgerRecord, job_id: str) -> Record | None:
    """The end of a job as a head has noted it."""
    end = ledger.ends.get(job_id)
    if end is None:
        return None
    word = end.get("state")
    if not isinstance(word, str):
        return None
    state = job_state(word)
    return Record(
        job_id=job_id,
        state=state if state.is_final else JobState.UNKNOWN,
        word=word,
        reason=_text(end.get("reason")),
        exit_code=_number(end.get("exit_code")),
        signal=_number(end.get("signal")),
        node=_text(end.get("node")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
