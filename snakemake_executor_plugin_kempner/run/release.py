"""Releases attempts that wait in reserve (`plan/reserves.py`), when the attempt before them has failed.

Three do it, and it does no harm if more than one does: a failing job for the next attempt of its task, a head for what it sees, and
the release job of each array, for jobs that are killed before they can: `python -m snakemake_executor_plugin_kempner.run.release
FOLDER ARRAY`. Slurm starts a release job at the first failure of the array, and it queues the next one.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ..errors import KempnerError, LedgerError, SlurmError, SlurmRefused
from ..options import Options
from ..plan.dependency import DependencyType, array_of
from ..plan.jobscript import release_script
from ..plan.model import Kind
from ..plan.reserves import is_reserve, takes_turns
from ..slurm.client import Slurm, SlurmCommands
from ..slurm.parse import Record
from ..slurm.states import JobState
from .clock import Clock, SystemClock
from .elsewhere import blame, keep_off
from .ledger import read_ledger
from .ledger_record import Entry, LedgerRecord
from .ledgers import latest_ledger
from .records import step_record
from .sources import controller_records, with_written

_PATIENCE = 1800.0
"""Seconds for which a release job asks again: without it, what waits in reserve would wait for ever."""
_PAUSE, _LONGEST_PAUSE = 2.0, 60.0


@dataclass(kw_only=True)
class Due:
    """What is to be done about the reserves of some tasks."""

    failed: dict[str, str] = field(default_factory=dict)
    """Attempts in reserve, each with the job before it, which has run and failed."""
    never_ran: list[str] = field(default_factory=list)
    """Attempts in reserve behind a job that has never run: they decide for themselves whether they run (`step/earlier.py`)."""
    unneeded: list[str] = field(default_factory=list)
    """Attempts in reserve of tasks that have succeeded."""
    undecided: list[Entry] = field(default_factory=list)
    """Jobs of which the end decides about a reserve."""


def due(entries: Iterable[Entry], seen: Mapping[str, Record]) -> Due:
    """What is to be done about reserves that wait.

    Args:
        entries: of tasks, each attempt after the one before.
        seen: what is known of their jobs.
    """
    found = Due()
    of_task: dict[str, list[Entry]] = {}
    for entry in entries:
        of_task.setdefault(entry.task, []).append(entry)
    for attempts in of_task.values():
        waiting = [entry.job_id for entry in attempts if is_reserve(entry.options) and _waits(seen.get(entry.job_id))]
        if any(_state(seen.get(entry.job_id)) is JobState.SUCCEEDED for entry in attempts):
            found.unneeded += waiting
            continue
        for before, entry in pairwise(attempts):
            if entry.job_id not in waiting:
                continue
            match _state(seen.get(before.job_id)):
                case JobState.FAILED:
                    found.failed[entry.job_id] = before.job_id
                case JobState.WAITING | JobState.RUNNING:
                    found.undecided.append(before)
                case _:
                    found.never_ran.append(entry.job_id)
    return found


def _state(record: Record | None) -> JobState:
    return record.state if record else JobState.UNKNOWN


def _waits(record: Record | None) -> bool:
    return record is not None and record.state is JobState.WAITING


def release_one(slurm: Slurm, job_id: str, options: Options, before: str) -> None:
    """Let an attempt start when the job before it has failed: the dependency that it would have alone.

    What Slurm has forgotten has ended: there is nothing to wait for.

    Args:
        slurm: the scheduler.
        job_id: of the attempt.
        options: of the attempt. If it takes turns, it waits for all of the array before it.
        before: id of the job that has failed, or is about to.

    Raises:
        SlurmError: Slurm has not answered, or has refused.
    """
    failed = f"{DependencyType.AFTERNOTOK}:{before}"
    turn = f"{DependencyType.AFTERANY}:{array_of(before)}"
    for dependency in (f"{failed},{turn}", turn) if takes_turns(options) else (failed,):
        try:
            slurm.release(job_id, dependency)
        except SlurmRefused as error:
            if "depend" not in error.answer.lower():
                raise
        else:
            return
    slurm.release(job_id, "")


def release_next(folder: Path, slurm: Slurm, own_job_id: str) -> None:
    """Release the next attempt of a task; called by an attempt that fails, before it ends.

    Slurm starts it only when this job has ended, and not well: so nothing is decided before its end is known.
    """
    entries = latest_ledger(folder).entries
    own = next((entry for entry in entries if entry.job_id == own_job_id), None)
    for entry in entries:
        is_next = own is not None and entry.task == own.task and entry.attempt == own.attempt + 1
        if is_next and entry.job_id and is_reserve(entry.options):
            release_one(slurm, entry.job_id, entry.options, own_job_id)


def release(folder: Path, array: str, slurm: Slurm, own_name: str, clock: Clock) -> None:
    """Release what is due of the tasks of an array, take out of the queue what is not needed, and queue the next release job.

    Args:
        folder: of the run that has queued it.
        array: name of the array of the first attempts.
        slurm: the scheduler.
        own_name: job name of this release job.
        clock: time.

    Raises:
        LedgerError: the run cannot be read, or does not know this job.
        SlurmError: Slurm has not answered, or has refused the next release job, for half an hour.
    """
    own = next((entry for entry in read_ledger(folder).of_kind(Kind.RELEASE) if entry.job_name == own_name), None)
    if own is None:
        raise LedgerError(f"The record of the run in {folder} does not know {own_name}.")
    end, pause = clock.now() + _PATIENCE, _PAUSE
    while True:
        ledger = latest_ledger(folder)
        entries = _entries(ledger, array)
        try:
            known = controller_records(slurm, [entry.job_id for entry in entries])
            found = due(entries, with_written(known, entries))
            if ledger.header.get("retries_elsewhere"):
                _keep_off(found, entries, known, slurm)
            _act(found, {entry.job_id: entry.options for entry in entries}, slurm)
            if found.undecided:
                _queue_again(own, release_script(sys.executable, str(ledger.folder), array), found.undecided, slurm)
        except SlurmError as error:
            if clock.now() >= end:
                raise
            print(f"kempner release: again in {pause:.0f} s: {error}", file=sys.stderr, flush=True)
        else:
            return
        clock.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _entries(ledger: LedgerRecord, array: str) -> list[Entry]:
    tasks = {entry.task for entry in ledger.entries if entry.job_name == array}
    found = [
        entry for entry in ledger.entries if entry.kind == Kind.TASK.value and entry.task in tasks and entry.job_id
    ]
    return sorted(found, key=lambda entry: entry.attempt)


def _keep_off(found: Due, entries: Sequence[Entry], known: Mapping[str, Record], slurm: Slurm) -> None:
    """Keep attempts off nodes that have failed the job before them, while they still wait."""
    of_job = {entry.job_id: entry for entry in entries}
    for job_id, before in found.failed.items():
        folder = Path(of_job[before].folder)
        record, has_begun = known.get(before), step_record(folder, before) is not None
        if record is not None and (why := blame(record, has_begun=has_begun)):
            keep_off(slurm, [(job_id, of_job[job_id].options, folder)], record.node, why)


def _act(found: Due, options: Mapping[str, Options], slurm: Slurm) -> None:
    for job_id, before in found.failed.items():
        with _reported(job_id):
            release_one(slurm, job_id, options[job_id], before)
    for job_id in found.never_ran:
        with _reported(job_id):
            slurm.release(job_id)
    if found.unneeded:
        slurm.cancel(found.unneeded, pending_only=True)


@contextmanager
def _reported(job_id: str) -> Iterator[None]:
    """What Slurm refuses about a job is no reason to leave the others: it may have started or ended meanwhile."""
    try:
        yield
    except SlurmRefused as error:
        print(f"kempner release: Slurm job {job_id}: {error}", file=sys.stderr)


def _queue_again(own: Entry, script: str, undecided: Sequence[Entry], slurm: Slurm) -> None:
    """Queue a release job for the next failure, or the end, of what is undecided."""
    dependency = "?".join(dict.fromkeys(term for entry in undecided for term in _terms(entry)))
    slurm.submit(own.options | Options({"dependency": dependency}), script)


def _terms(undecided: Entry) -> Iterator[str]:
    if is_reserve(undecided.options):  # others of its array may wait for a release that never comes
        yield f"{DependencyType.AFTERANY}:{undecided.job_id}"
    else:
        yield f"{DependencyType.AFTERNOTOK}:{undecided.job_id}"
        yield f"{DependencyType.AFTERANY}:{array_of(undecided.job_id)}"


def main() -> int:
    """Exit code of a release job."""
    folder, array = sys.argv[1:]
    try:
        release(Path(folder), array, SlurmCommands(), os.environ.get("SLURM_JOB_NAME", ""), SystemClock())
    except KempnerError as error:
        print(f"kempner release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
