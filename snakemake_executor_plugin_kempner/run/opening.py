"""What earlier processes have left in a folder, looked up in its ledgers and in Slurm, and what a new one makes of it."""

import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ..errors import SlurmError, SlurmUnreachable
from ..plan.at_site import options_at
from ..plan.dependency import Ref
from ..plan.model import LOOK_AFTER, Kind, Task
from ..plan.resources import SET_BY_PLANNER
from ..site.model import Site
from ..slurm.client import Slurm
from ..slurm.ids import in_order
from ..slurm.parse import Record, records_of
from ..slurm.states import JobState
from .adopt import Left, Names, all_of_run, carried_out, in_queue, left_in_queue
from .belonging import is_here, other_path
from .ledger import Entry, Ledger, open_ledgers, read_ledger
from .ledger import Record as LedgerRecord
from .live import LiveRun
from .outcome import TaskEvent
from .records import StepRecord, step_record
from .sources import asked
from .submit import PATIENCE, SETTLE, Clock

T = TypeVar("T")
_LEAVING = 60.0
"""Seconds that a cancelled job may take to leave its node."""
_PAUSE = 1.0
_RETRY = 10.0
_LONGEST_PAUSE = 60.0
_CONTRADICTED, _AGAIN = 60, 5
"""Seconds for which accounting may lag behind the controller, and between two questions about it."""
_NAMED = 5
"""Jobs that a message names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What earlier runs have left."""

    ledgers: tuple[LedgerRecord, ...]
    """Those that are not closed, oldest first."""
    left: tuple[Left, ...]
    """Tasks to go on with."""
    finished: int = 0
    """Tasks that have succeeded without a head that saw it."""
    jobs: Mapping[str, Entry] = field(default_factory=dict)
    """Everything that is still in the queue, helpers of ours included, by job id."""

    @property
    def runs(self) -> str:
        """Names of the runs of which something is left."""
        left = {entry.folder for one in self.left for entry in one.entries}
        return ", ".join(dict.fromkeys(Path(folder).name for folder in sorted(left)))

    @property
    def unplanned(self) -> tuple[LedgerRecord, ...]:
        """Runs one of whose jobs waits for a checkpoint, or the like, to submit more."""
        waiting = {job_id for job_id, entry in self.jobs.items() if entry.kind == Kind.CONTINUATION.value}
        return tuple(one for one in self.ledgers if any(entry.job_id in waiting for entry in one.entries))

    def line(self, to_submit: int) -> str:
        """`Goes on with run 3f2a: 41 finished meanwhile, 7 running, 12 queued, 3 to submit.`"""
        waiting = [one for one in self.left if not one.has_succeeded]
        running = sum(one.is_running for one in waiting)
        numbers = f"{running} running, {len(waiting) - running} queued, {to_submit} to submit"
        return f"Goes on with run {self.runs}: {self.finished} finished meanwhile, {numbers}."


def look_back(runs: Path, workdir: str, slurm: Slurm, since: float, warn: Callable[[str], None]) -> Found:
    """What is left of the runs below a folder.

    Args:
        runs: `.snakemake/kempner`.
        workdir: where they must have been started; the record of a folder that was copied speaks of other files.
        slurm: the scheduler.
        since: when the new process began to look at files, in seconds since 1970. What has ended after that may look
            unfinished to it.
        warn: is told of ledgers that are passed over.

    Raises:
        LedgerError: a ledger has a version that this package does not know.
        SlurmError: Slurm could not be asked, so nothing is known.
    """
    ledgers = open_ledgers(runs)
    foreign = {one.run: str(one.header.get("workdir", "")) for one in ledgers if not is_here(one, workdir)}
    for run, place in ((run, place) for run, place in foreign.items() if place):
        warn(
            f"The record of run {run} in this folder speaks of jobs started in {place}: this is a copy of that folder. "
            f"Its jobs are left alone; they write to {place}."
        )
    ledgers = tuple(one for one in ledgers if one.run not in foreign)
    for told in filter(None, (other_path(one, workdir) for one in ledgers)):
        warn(told)
    if not ledgers:
        return Found(ledgers=(), left=())

    def ask() -> tuple[dict[str, Record], Names]:
        _wait_for_unanswered(ledgers, slurm, warn)
        queue, names = _seen(ledgers, slurm)
        _check_gone(ledgers, queue, slurm)
        return queue, names

    queue, names = _patiently(ask, warn)

    def ended(entry: Entry) -> Record | None:
        written = step_record(Path(entry.folder), entry.job_id)
        return written.as_record() if written and written.end is not None and written.end >= since else None

    return Found(
        ledgers=ledgers,
        left=left_in_queue(ledgers, queue, names, ended),
        finished=len({entry.task for one in ledgers for entry in one.of_kind(Kind.TASK) if _ended_unseen(one, entry)}),
        jobs={entry.job_id: entry for entry in in_queue(ledgers, queue, names)},
    )


def _patiently(ask: Callable[[], T], warn: Callable[[str], None]) -> T:
    """Ask a controller again that does not answer, as a run does that has begun."""
    end, pause = time.time() + PATIENCE, _PAUSE
    while True:
        try:
            return ask()
        except SlurmUnreachable as error:
            if time.time() >= end:
                raise
            warn(f"Slurm could not be asked about earlier runs, again in {pause:.0f} s: {error}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _wait_for_unanswered(ledgers: Iterable[LedgerRecord], slurm: Slurm, warn: Callable[[str], None]) -> None:
    """A head that died while it submitted may have left a request that is carried out a little later."""
    unanswered = [ledger.entries[-1] for ledger in ledgers if ledger.entries and not ledger.entries[-1].job_id]
    told = False
    for entry in unanswered:
        # Bounded by this process's clock too: the other one's may be wrong.
        for _ in range(int(SETTLE)):
            if time.time() - entry.time >= SETTLE or slurm.find(entry.job_name):
                break
            if not told:
                warn(f"The head before died while it submitted {entry.label}; waiting whether Slurm still takes it.")
                told = True
            time.sleep(_PAUSE)


def _written(entry: Entry) -> StepRecord | None:
    return step_record(Path(entry.folder), entry.job_id) if entry.job_id else None


def _ended_unseen(ledger: LedgerRecord, entry: Entry) -> bool:
    if not entry.job_id or entry.job_id in ledger.noted:
        return False
    written = step_record(Path(entry.folder), entry.job_id)
    return written is not None and written.exit_code == 0


def _seen(ledgers: Collection[LedgerRecord], slurm: Slurm) -> tuple[dict[str, Record], Names]:
    """What Slurm says of all that is in its queue, and of elements of arrays that have vanished from it, and their names.

    What its list leaves out is asked for by its id, unless the ledger or the job itself tells its end.
    """
    records, names = slurm.queue(), dict(slurm.names())
    entries = [entry for ledger in ledgers for entry in ledger.entries]
    listed = records_of({entry.job_id for entry in entries} | _ids(records), records)
    left_out = {entry.job_id for ledger in ledgers for entry in _of_open_end(ledger, listed)}
    unanswered = {entry.job_name for entry in entries if not entry.job_id}
    unanswered -= {name for both in names.values() for name in both}
    left_out |= {job_id for name in unanswered for job_id in slurm.find(name)}
    shown = slurm.show(left_out)
    names |= {one.record.job_id: (one.name, one.comment) for one in shown}
    told = tuple(one.record for one in shown)
    return listed | records_of(left_out | _ids(told), told), names


def _ids(records: Iterable[Record]) -> set[str]:
    return {record.job_id for record in records}


def _of_open_end(ledger: LedgerRecord, known: Container[str]) -> Iterator[Entry]:
    """What Slurm's answers do not name, and has not ended as far as the ledger and the jobs themselves tell."""
    for entry in ledger.entries:
        if entry.job_id and entry.job_id not in ledger.noted and entry.job_id not in known:
            written = step_record(Path(entry.folder), entry.job_id)
            if written is None or written.exit_code != 0:
                yield entry


def _check_gone(ledgers: Iterable[LedgerRecord], queue: Mapping[str, Record], slurm: Slurm) -> None:
    """The controller does not know a job by its list nor by its id: it is gone, unless accounting says that it is not.

    Raises:
        SlurmError: accounting holds jobs for queued or running that the controller does not know.
    """
    gone = {entry.job_id: entry for ledger in ledgers for entry in _of_open_end(ledger, queue)}
    alive: list[Record] = []
    for waited in range(0, _CONTRADICTED + 1, _AGAIN) if gone else ():
        time.sleep(_AGAIN if waited else 0)
        try:
            alive = [one for one in slurm.accounting(gone) if one.state in (JobState.WAITING, JobState.RUNNING)]
        except SlurmError:  # the controller has said it twice
            return
        if not alive:
            return
    if alive:
        named = ", ".join(f"{one.job_id} ({gone[one.job_id].label}, {one.word})" for one in alive[:_NAMED])
        folders = " ".join(sorted({gone[one.job_id].folder for one in alive}))
        raise SlurmError(
            f"The controller does not know jobs of an earlier run that accounting holds for queued or running: {named}. "
            "Nothing is submitted, because they might run twice, and nothing is closed. If they are lost "
            f"(sacctmgr show runawayjobs), remove the record of that run and run this again: {folders}"
        )


def entries_in_queue(ledger: LedgerRecord, slurm: Slurm) -> tuple[Entry, ...]:
    """What of a run has not ended.

    Raises:
        SlurmError: Slurm could not be asked.
    """
    return tuple(in_queue([ledger], *_seen([ledger], slurm)))


def close_earlier(found: Found, run: str, slurm: Slurm) -> None:
    """The run of that name looks after what is left from now on: nobody else goes on with it, and later ones ask there.

    Raises:
        SlurmError: closing jobs of earlier runs could not be cancelled.
    """
    helpers = [job_id for job_id, entry in found.jobs.items() if entry.kind in LOOK_AFTER]
    if helpers:
        slurm.cancel(helpers)
    kept = {job.job_id for one in found.left if not one.has_succeeded for job in one.jobs.values()}
    over = [job_id for job_id, entry in found.jobs.items() if entry.kind == Kind.TASK.value and job_id not in kept]
    if over:  # what can no longer start, where Slurm does not remove it; its task is submitted anew
        slurm.cancel(over, pending_only=True)
    for ledger in found.ledgers:
        Ledger(ledger.folder).close(by=run)


def changes(task: Task, left: Left, site: Site | None = None) -> tuple[str, ...]:
    """What the workflow says otherwise than when the task was submitted: `code`, `params`, `resources`, …"""
    first = left.entries[0]
    changed = [name for name, digest in task.content.items() if first.content.get(name, digest) != digest]
    for attempt in task.attempts:
        entry = next((one for one in left.entries if one.attempt == attempt.number), None)
        asked = options_at(site, task.label, attempt.resources, attempt.threads).arguments
        before = [] if entry is None else [one for one in entry.options if not one.startswith(SET_BY_PLANNER)]
        if entry is not None and set(asked) != set(before):
            changed.append("resources")
            break
    return tuple(changed)


def keep(found: Found, tasks: Collection[str]) -> Found:
    """Take these tasks as they have ended in the earlier runs: successfully, by their jobs' own records."""
    kept: dict[str, Left] = {}
    for ledger in found.ledgers:
        for one in all_of_run(ledger, {}):
            ends = {entry.attempt: written.as_record() for entry in one.entries if (written := _written(entry))}
            records = {number: record for number, record in ends.items() if record is not None}
            if one.task in tasks and any(record.state is JobState.SUCCEEDED for record in records.values()):
                kept[one.task] = replace(one, records=records)
    return replace(found, left=(*kept.values(), *(one for one in found.left if one.task not in kept)))


def cancel_tasks(found: Found, tasks: Iterable[str], slurm: Slurm) -> Found:
    """Cancel tasks and all that wait for them, directly or not; what is left without them.

    Raises:
        SlurmError: they do not leave the queue.
    """
    gone = set(tasks)
    for one in found.left:  # in the order of submission: each after what it waits for
        if any(edge.on in gone for edge in one.edges):
            gone.add(one.task)
    jobs = {job.job_id for one in found.left if one.task in gone for job in one.jobs.values()}
    for ledger in found.ledgers:  # before: their guards wake up, and are not to take this for a failure
        Ledger(ledger.folder).cancelled(jobs & {entry.job_id for entry in ledger.entries})
    _cancel_and_wait(jobs, slurm)
    return replace(found, left=tuple(one for one in found.left if one.task not in gone))


def cancel_found(found: Found, slurm: Slurm, unexplained: Mapping[str, str] = MappingProxyType({})) -> str:
    """Cancel all that earlier runs have in the queue, closing jobs included, and close their ledgers; says what it did.

    Args:
        found: what their ledgers tell.
        slurm: the scheduler.
        unexplained: names of jobs, by id, that belong to runs of this folder though no ledger tells.

    Raises:
        SlurmError: it does not leave the queue.
    """
    names = {job_id: entry.job_name for job_id, entry in found.jobs.items()} | dict(unexplained)
    runs = ", ".join(sorted({name.rsplit(".", 2)[1] for name in names.values()}))
    _cancel_and_wait(names, slurm)
    for ledger in found.ledgers:
        record, known = Ledger(ledger.folder), {entry.job_name for entry in ledger.entries}
        record.cancelled(job_id for job_id, entry in found.jobs.items() if entry.job_name in known)
        record.close()
    if not names:
        return "No job of an earlier run in this folder is in the queue."
    return f"Cancelled the {len(names)} Slurm jobs of run {runs}."


def _cancel_and_wait(job_ids: Collection[str], slurm: Slurm) -> None:
    """Until they have left their nodes, so that what comes next finds their files at rest."""
    if job_ids:
        slurm.cancel(job_ids)
    waited = 0.0
    while left := in_order(job_id for job_id, one in asked(slurm, job_ids).items() if not one.state.is_final):
        if waited >= _LEAVING:
            raise SlurmError(f"Cancelled jobs have not left the queue after {waited:.0f} s: {' '.join(left)}")
        time.sleep(_PAUSE)
        waited += _PAUSE


def go_on(live: LiveRun, slurm: Slurm, clock: Clock) -> tuple[TaskEvent, ...]:
    """Take up a run as one of its own jobs: all of its tasks, whatever has become of them.

    Returns:
        What has become of them.

    Raises:
        LedgerError: the run's ledger cannot be read.
        SlurmError: Slurm could not be asked.
    """
    ledger = read_ledger(Path(live.policy.folder))
    queue, names = _seen([ledger], slurm)
    here = [entry for entry in in_queue([ledger], queue, names) if entry.kind in LOOK_AFTER]
    helpers = {Ref(entry.task, entry.attempt): entry.job_id for entry in here}
    waiting = [
        ref
        for ref, job_id in helpers.items()
        if ref.task == Kind.CLOSING.value and queue[job_id].state is JobState.WAITING
    ]
    live.adopt(all_of_run(ledger, names), own=True)
    live.look_after(carried_out(ledger.of_kind(Kind.GATE), names), own=True)
    live.go_on(
        helpers,
        submitted=ledger.last_number,
        closing=waiting[-1] if waiting else None,
        withdrawn=ledger.cancelled,
    )
    events: tuple[TaskEvent, ...] = live.refuse(ledger.refused, own=True)
    events += live.observe()
    while not live.was_answered:  # without an answer everything would look lost
        clock.sleep(_RETRY)
        events += live.observe()
    return events
