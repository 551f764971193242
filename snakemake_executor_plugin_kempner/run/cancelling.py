"""Cancels runs, or tasks of a run, from outside: without the Snakefile, and beside a living head if need be."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..errors import FolderInUse, KempnerError, LedgerError
from ..layout import LEDGER
from ..plan.dependency import DependencyType
from ..plan.model import Kind
from ..slurm.client import Slurm
from .adopt import QueuedTask
from .belonging import is_here, other_user, unexplained
from .claim import CANCEL, Claim, Owner, claim_folder, this_process
from .clock import SystemClock
from .cluster import refuse_folder_of_other_cluster, refuse_other_cluster
from .ledger import Ledger, read_ledger
from .ledger_record import LedgerRecord
from .opening import EarlierRuns, entries_in_queue, look_back
from .takeover import cancel_and_wait, cancel_found

Say = Callable[[str], None]

_NOTICE = 60.0
"""Seconds for which a head may take no notice of its jobs' end."""
_PAUSE = 2.0


class Canceller:
    """Cancels what runs of a folder have in the queue.

    Args:
        runs: `.snakemake/kempner`.
        workdir: the folder of the workflow.
        slurm: the scheduler.
        say: gets messages.
        warn: gets warnings.
        finish: does what is to be done at the end of the run in a folder, which was cancelled.
        pause: seconds between two looks at a head that is to take notice.
    """

    def __init__(
        self, runs: Path, workdir: str, slurm: Slurm, say: Say, warn: Say, *,
        finish: Callable[[Path], None], pause: float = _PAUSE,
    ) -> None:  # fmt: skip
        self._runs, self._workdir, self._slurm, self._finish = runs, workdir, slurm, finish
        self._say, self._warn, self._pause = say, warn, pause

    def everything(self, since: float) -> str:
        """Cancel all jobs of all open runs; returns a message.

        Args:
            since: when this process began to read files.

        Raises:
            FolderInUse: a live head looks after the runs.
            LedgerError: the claim on the folder cannot be read or written.
            SlurmError: the jobs do not leave the queue.
        """
        if not self._runs.is_dir():
            return self._all(since)
        with self._claimed():
            return self._all(since)

    def run(self, ledger: LedgerRecord) -> str:
        """Cancel all jobs of a run, also while its head lives; returns a message.

        Raises:
            FolderInUse: a process of another user looks after it.
            LedgerError, SlurmError: as `everything`.
        """
        self._check_that_it_is_ours(ledger)
        head = self._head()
        beside = self._beside(ledger, head) if head is not None else ""
        if beside and self._head() is not None:
            return beside
        with self._claimed():
            found = self._found(time.time())
            ours = tuple(record for record in found.ledgers if record.run == ledger.run)
            names = {entry.job_name for record in ours for entry in record.entries}
            jobs = {job_id: entry for job_id, entry in found.jobs.items() if entry.job_name in names}
            lost = {job_id: name for job_id, name in self._unexplained(found).items() if f".{ledger.run}." in name}
            said = cancel_found(replace(found, ledgers=ours, jobs=jobs), self._slurm, lost, self._finish)
        return f"{beside}\n{said}" if beside and jobs else beside or said

    def tasks(self, ledger: LedgerRecord, keys: Collection[str]) -> str:
        """Cancel tasks of a run and those that need them; the others go on. Returns a message.

        Raises:
            KempnerError: a live head looks after the run, and would stop all of it.
            LedgerError, SlurmError: as `everything`.
        """
        self._check_that_it_is_ours(ledger)
        head = self._head()
        if head is not None:
            return self._tasks_beside(ledger, keys, head)
        with self._claimed():
            found = look_back(self._runs, self._workdir, self._slurm, time.time(), self._warn)
            waiting = {entry.task for entry in found.jobs.values()}
            gone = with_dependants(found.left, {key for key in keys if key in waiting})
            jobs = _jobs(found, gone)
            for record in found.ledgers:  # first: what wakes up now must not take this for a failure that stops the run
                Ledger(record.folder).cancelled(jobs & {entry.job_id for entry in record.entries}, by_user=True)
            cancel_and_wait(jobs, self._slurm)
        return (
            f"Cancelled {len(gone)} tasks, {len(jobs)} Slurm jobs." if jobs else "None of these tasks is in the queue."
        )

    def _check_that_it_is_ours(self, ledger: LedgerRecord) -> None:
        """Check who and where the run belongs to.

        Raises:
            LedgerError: the run is another user's, or its record has come here with a copy of its folder.
            SlurmError: it was started on another cluster, or Slurm did not answer.
        """
        if user := other_user(ledger.folder):
            raise LedgerError(f"Run {ledger.run} is one of {user}: only {user} can cancel it.")
        if not is_here(ledger, self._workdir):
            place = ledger.header.get("workdir") or "another folder"
            raise LedgerError(
                f"The record of run {ledger.run} speaks of jobs started in {place}: this is a copy of that folder. Its jobs are "
                "left alone; cancel them there."
            )
        refuse_other_cluster([ledger], self._slurm)

    # --- beside a head ------------------------------------------------------------------------------------------

    def _head(self) -> Owner | None:
        """The live head that looks after the folder.

        Raises:
            FolderInUse: it is another user's.
        """
        holder = Claim(self._runs, _this_command(), self._slurm.runs, SystemClock()).holder()
        if holder is not None and holder.is_of_another_user:
            raise FolderInUse(str(holder))
        return holder if holder is not None and holder.is_head else None

    def _beside(self, ledger: LedgerRecord, head: Owner) -> str:
        """Cancel the jobs under a living head, which then ends its run by itself, as after `scancel`."""
        number, deadline = 0, time.monotonic() + _NOTICE
        while True:
            with suppress(LedgerError):
                ledger = read_ledger(ledger.folder)  # it may submit more
            left = list(entries_in_queue(ledger, self._slurm))
            if left:
                # Those that look after the run first: they must not act on the end of the others.
                left = sorted(left, key=lambda entry: entry.kind == Kind.TASK.value)
                number += len(left)
                cancel_and_wait([entry.job_id for entry in left], self._slurm)
            elif self._head() is None or time.monotonic() > deadline:
                break
            time.sleep(self._pause)
        said = f"Cancelled the {number} Slurm jobs of run {ledger.run}."
        if self._head() is None:
            return said
        return f"{said}\n{head} has not taken notice yet; it ends when it does. If it submits more, give this command again."

    def _tasks_beside(self, ledger: LedgerRecord, keys: Collection[str], head: Owner) -> str:
        its_own = self._runs / head.run  # it may have taken over the run that was named
        if not (read_ledger(its_own) if its_own.is_dir() else ledger).header.get("keep_going"):
            raise KempnerError(
                f"{head} watches this run without --keep-going: it would stop the whole run when a task is cancelled. To cancel "
                f"all of it: kempner cancel {ledger.run}"
            )
        entries = entries_in_queue(ledger, self._slurm)
        edges = {entry.task: entry.edges for entry in ledger.of_kind(Kind.TASK)}
        gone = {key for key in keys if any(entry.task == key for entry in entries)}
        for task, before in edges.items():
            if any(edge.on in gone and edge.type is DependencyType.AFTEROK for edge in before):
                gone.add(task)
        jobs = [entry.job_id for entry in entries if entry.task in gone]
        if jobs:
            cancel_and_wait(jobs, self._slurm)
        return f"Cancelled {len(jobs)} Slurm jobs. {head} goes on with the others."

    # --- with the claim -----------------------------------------------------------------------------------------

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        refuse_folder_of_other_cluster(self._runs, self._slurm)
        claim = claim_folder(self._runs, _this_command(), self._slurm.runs, self._say)
        if hasattr(self._slurm, "before_acting"):  # Slurm's commands ask whether the claim still holds
            self._slurm.before_acting = claim.check
        try:
            yield
        finally:
            claim.release()

    def _all(self, since: float) -> str:
        found = self._found(since)
        return cancel_found(found, self._slurm, self._unexplained(found), self._finish)

    def _found(self, since: float) -> EarlierRuns:
        """What is left of the runs; if a ledger is missing or damaged, its jobs are looked for by their names."""
        found = EarlierRuns(ledgers=(), left=())
        try:
            found = look_back(self._runs, self._workdir, self._slurm, since, self._warn)
        except LedgerError as error:
            self._warn(f"{error}. Its jobs are looked for by their names.")
        for ledger in found.ledgers:
            if ledger.unread:
                self._warn(f"{ledger.unread} lines of {ledger.folder / LEDGER} cannot be read and are passed over.")
        return found

    def _unexplained(self, found: EarlierRuns) -> dict[str, str]:
        return unexplained(self._runs, self._workdir, self._slurm, found.ledgers)


def _this_command() -> Owner:
    """Not a head: whoever comes meanwhile waits for its end, another command that cancels above all."""
    return this_process(CANCEL, uuid.uuid4().hex[:8])


def with_dependants(left: Iterable[QueuedTask], keys: Collection[str]) -> set[str]:
    """Tasks with those that need them, directly or not; what is declared to follow their failure is none of them.

    Nor is what runs: all that it needs has succeeded.
    """
    gone = set(keys)
    for task in left:  # in the order of submission: each after what it waits for
        if not task.is_running and any(edge.on in gone and edge.type is DependencyType.AFTEROK for edge in task.edges):
            gone.add(task.task)
    return gone


def _jobs(found: EarlierRuns, gone: Collection[str]) -> set[str]:
    """What tasks have in the queue, with the gates that stand for them."""
    return {job_id for job_id, entry in found.jobs.items() if entry.task in gone}
