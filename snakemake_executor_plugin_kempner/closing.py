"""The end of a run, by its closing job: it comes when everything has ended.

It runs the hooks of the workflow, once, tidies up, sees to the page and the mail about the run, and ends as the run has
ended, so that another job can wait for it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .beginning import go_on_with_run
from .causes.alike import alike
from .ending.finish import Finish, page_of, write_page
from .ending.locks import remove_locks
from .errors import KempnerError, SlurmRefused, SlurmUnreachable
from .layout import CLOSING_JOB_LOG
from .options import Options
from .phrases import short_path
from .plan.dependency import array_of
from .plan.model import Kind, Policy
from .report import cause_of, failure_message, unexplained_message
from .reporting.writing import write_at_end
from .run.again import changed, resubmit
from .run.latest import latest_run
from .run.ledger import Ledger, read_ledger
from .run.ledger_record import Entry, LedgerRecord
from .run.live import LiveRun
from .run.opening import entries_in_queue
from .run.outcome import TaskEnded
from .run.records import usage_of
from .run.result import Result
from .slurm.client import Slurm
from .slurm.parse import Usage
from .slurm.submit_limits import lacks_room

if TYPE_CHECKING:
    from .adapt.continuing import End

_PATIENCE = 1800.0
"""Seconds for which a controller that does not answer, or a queue without room, is waited for."""
_PAUSE = 10.0
T = TypeVar("T")


class Closing:
    """Ends a run.

    Args:
        folder: of the run whose closing job this process is; it may end a later one.
        slurm: the scheduler.
        job_id: of this process.
        check: raises an error when another process has taken over from this.
    """

    def __init__(self, folder: Path, slurm: Slurm, job_id: str, check: Callable[[], None]) -> None:
        self._folder, self._slurm, self._job_id, self._check = folder, slurm, job_id, check
        self._failed_hook = ""

    def begin(self) -> LedgerRecord | None:
        """The run that is to be ended; None: others have to end it, or another closing job waits for what is in the queue."""
        own = read_ledger(self._folder).of_kind(Kind.CLOSING)
        ledger = patiently(lambda: latest_run(self._folder, self._slurm, self._job_id, print))
        if ledger.folder != self._folder:
            print(f"Run {ledger.run}, which has begun later in this folder, takes over run {self._folder.name}.")
            self._folder = ledger.folder
        others = self._others(ledger)
        if any(entry.kind == Kind.CLOSING.value for entry in others):
            print("Another closing job of this run is in the queue.")
            return None
        tasks = [entry for entry in others if entry.kind in (Kind.TASK.value, Kind.CONTINUATION.value)]
        if tasks:
            self._come_again(ledger, (*own, *ledger.of_kind(Kind.CLOSING))[-1], tasks)
            return None
        return ledger

    def is_plain(self, ledger: LedgerRecord) -> bool:
        """All tasks have succeeded by Slurm's word, and the head saw that nothing else is to be done at the end."""
        if not ledger.plain_end or self._failures():
            return False
        print("All tasks have succeeded; nothing is left for Snakemake to do.")
        return True

    def for_snakemake(self) -> "End":
        """What Snakemake, in this process, is told of the run and has to leave to this class."""
        from .adapt.continuing import End  # noqa: PLC0415 - needs Snakemake

        return End(
            failures=self._failures, has_failed=lambda key: key in self._without_success, run_hook=self._run_hook
        )

    def end(self, code: int) -> None:
        """Let nothing of the run stay in the queue, do what is to be done once for each run, and close its ledger."""
        ledger = read_ledger(self._folder)
        if left := [entry.job_id for entry in self._others(ledger)]:
            patiently(lambda: self._slurm.cancel(left))
        self._check()
        remove_locks(self._folder.parents[1] / "locks", ledger.header.get("locks", {}))
        result = Result.FAILED if code else Result.SUCCEEDED
        notes = [f"The hook {self._failed_hook} has failed."] if self._failed_hook else []
        if code:
            notes.append(f"What Snakemake said at the end: {short_path(self._folder / CLOSING_JOB_LOG)}")
        self._finish.run(self._folder, result, notes)
        Ledger(self._folder).close(result=result)
        write_at_end(self._folder, self._slurm, print)

    def give_up(self, why: str) -> None:
        """Leave a page about a run that could not be ended."""
        said = f"Its closing job could not end it ({short_path(self._folder / CLOSING_JOB_LOG)}): {why}"
        with suppress(KempnerError, OSError):
            if found := page_of(self._folder, self._slurm, [said]):
                write_page(self._folder, found)

    @property
    def _finish(self) -> Finish:
        return Finish(slurm=self._slurm, say=_say, warn=_say, show=lambda page: _say(page.view.result))

    def _others(self, ledger: LedgerRecord) -> list[Entry]:
        """What the run has in the queue besides this job."""
        entries = patiently(lambda: entries_in_queue(ledger, self._slurm))
        return [entry for entry in entries if entry.job_id != self._job_id]

    def _come_again(self, ledger: LedgerRecord, own: Entry, tasks: Sequence[Entry]) -> None:
        """Jobs are in the queue that this one was not made to wait for: let another closing job do so."""
        ids = ":".join(dict.fromkeys(array_of(entry.job_id) for entry in tasks))
        number = ledger.last_number + 1
        name = f"{own.job_name.rsplit('.', 2)[0]}.{ledger.run}.{number}"
        log = f"{self._folder}/{Path(own.log).name}"
        new = Options({"output": log, "job-name": name, "comment": name, "dependency": f"afterany:{ids}"})
        record = Ledger(self._folder)
        record.numbered(number)
        record.intend(
            name, kind=own.kind, task=own.task, label=own.label, attempt=number, attempts=1,
            options=changed(own.options, new).argv, log=log, edges=[], spared=True,
        )  # fmt: skip
        job_id = patiently(lambda: resubmit(own, self._folder, Kind.CLOSING, self._slurm, new))
        record.submitted(name, job_id)
        print(f"{len(tasks)} jobs of the run have not ended; Slurm job {job_id} waits for them.")

    def _run_hook(self, name: str, run: Callable[[], None]) -> None:
        self._check()
        if name in read_ledger(self._folder).hooks:
            print(f"{name} has been run before; once is enough.")
            return
        Ledger(self._folder).hook(name)
        self._failed_hook = name
        run()
        self._failed_hook = ""

    @cached_property
    def _ends(self) -> tuple[LiveRun, Sequence[TaskEnded]]:
        """The run, and what has become of each task by Slurm's word, whatever the files look like."""
        policy = Policy(run=self._folder.name, folder=str(self._folder), workdir="", python="")
        live, events = go_on_with_run(policy, self._slurm, logging.getLogger(__name__))
        return live, [event for event in events if isinstance(event, TaskEnded)]

    @cached_property
    def _without_success(self) -> frozenset[str]:
        """Keys of the tasks that have ended without success, and of the members of groups among them."""
        ended = {end.task for end in self._ends[1] if end.outcome.is_failure}
        entries = read_ledger(self._folder).of_kind(Kind.TASK)
        return frozenset(ended).union(*(entry.members for entry in entries if entry.task in ended))

    def _failures(self) -> list[str]:
        """What has failed: causes, each with what fell with it, or what has not succeeded without any."""
        live, ends = self._ends
        causes = [end for end in ends if end.outcome.is_cause]
        if not causes and (left := live.tasks.unfinished()):
            return [unexplained_message(left)]
        ends_by_task = {end.task: end for end in causes}
        same = alike({task: f"{end.outcome.value} {cause_of(end)}" for task, end in ends_by_task.items()}).values()
        return [self._failure(live, [ends_by_task[task] for task in tasks]) for tasks in same]

    def _failure(self, live: LiveRun, ends: Sequence[TaskEnded]) -> str:
        """The message about tasks that have failed for the same reason: the first in full, the others by name."""
        first, *others = ends
        usage = usage_of(first.job, self._slurm) if first.job else Usage()
        fallen = dict.fromkeys(label for end in ends for label in live.tasks.fallen(end.task))
        return failure_message(first, usage, tuple(fallen), [end.label for end in others])


def _say(text: str) -> None:
    print(text, flush=True)


def patiently(ask: Callable[[], T]) -> T:
    """The answer of Slurm, once it gives one.

    Raises:
        SlurmError: it has not for half an hour, or it will not.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return ask()
        except (SlurmUnreachable, SlurmRefused) as error:
            passes = isinstance(error, SlurmUnreachable) or lacks_room(error.answer)
            if not passes or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
