"""`python -m snakemake_executor_plugin_kempner.closing KIND FOLDER`: go on with the run in a folder, as a Slurm job.

The command line that began the run is given to Snakemake once more, in this process. A continuation submits what could
not be planned before. The closing job comes when everything has ended: it runs the hooks of the workflow, once, tidies
up, and ends as the run has ended, so that mail about it is mail about the run.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from .beginning import go_on_with_run
from .efficiency.report import report_at_end
from .errors import FolderInUse, KempnerError, SlurmError, SlurmRefused, SlurmUnreachable
from .invocation import Continued, Leaving
from .plan.dependency import array_of
from .plan.model import Kind, Policy
from .report import end_of_run, failure_message, unexplained_message
from .run.claim import Claim, Owner, this_process
from .run.latest import is_latest, latest_run
from .run.ledger import Entry, Ledger, Record, read_ledger
from .run.live import LiveRun
from .run.opening import entries_in_queue
from .run.outcome import Outcome, TaskEnded
from .run.records import usage_of
from .run.settled import settled
from .run.submit import SystemClock
from .slurm.client import SlurmCommands
from .slurm.limits import lacks_room
from .slurm.parse import Usage

_PATIENCE = 1800.0
"""Seconds for which another job of the run, or a controller that does not answer, is waited for."""
_PAUSE = 10.0
_AGAIN = 120
"""Seconds after which a closing job that cannot be requeued looks again whether the head lives."""
T = TypeVar("T")


def main() -> int:
    kind, folder = Kind(sys.argv[1]), Path(sys.argv[2])
    try:
        return _Job(kind, folder).run()
    except KempnerError as error:
        print(f"kempner {kind.value}: {error}", file=sys.stderr)
        return 1


class _Job:
    def __init__(self, kind: Kind, folder: Path) -> None:
        self._kind, self._folder = kind, folder
        self._slurm, self._job_id = SlurmCommands(), os.environ.get("SLURM_JOB_ID", "")
        self._is_closing = kind is Kind.CLOSING
        self._failed_hook = ""
        self._own: tuple[Entry, ...] = ()
        self._check: Callable[[], None] = lambda: None

    def run(self) -> int:
        """Exit code of the job: for the closing job, that of the run."""
        owner = this_process(self._kind.value, self._folder.name, self._job_id)
        claim = Claim(self._folder.parent, owner, self._slurm.runs, SystemClock())
        if (head := claim.living_head()) is not None:
            return self._leave_to(head)
        try:
            claim.take(_PATIENCE)
        except FolderInUse as error:
            print(error, file=sys.stderr)
            return self._leave_to(head) if (head := claim.living_head()) is not None else 1
        self._check = self._slurm.before_acting = claim.check
        try:
            return self._holding_claim()
        finally:
            claim.release()

    def _leave_to(self, head: Owner) -> int:
        """Come again when that head may have died. When it ends the run, it takes this job out of the queue."""
        print(f"{head} looks after the run now.", flush=True)
        ledger = read_ledger(self._folder)
        if ledger.closed:
            return 0
        try:
            self._slurm.requeue(self._job_id)
        except SlurmError as error:
            # Under the same name: the numbers of a run are for its head to give, and that lives.
            own = ledger.of_kind(Kind.CLOSING)[-1]
            options = [*_without(own.options, "--dependency", "--begin"), f"--begin=now+{_AGAIN}"]
            job_id = self._patiently(lambda: self._slurm.submit(options, self._script()))
            Ledger(self._folder).submitted(own.job_name, job_id)
            print(f"This job cannot be put back into the queue, so Slurm job {job_id} will look again: {error}")
        return 0

    def _holding_claim(self) -> int:
        ledger = read_ledger(self._folder)
        if ledger.closed:
            print(f"Run {ledger.run} is closed: nothing is left to be done.")
            return 0
        if not self._is_closing and not is_latest(self._folder):
            print("A later run has begun in this folder; its closing job goes on.")
            return 0
        if self._is_closing:
            self._own = ledger.of_kind(Kind.CLOSING)
            ledger = self._patiently(lambda: latest_run(self._folder, self._slurm, self._job_id, print))
            if ledger.folder != self._folder:
                print(f"Run {ledger.run}, which has begun later in this folder, takes over run {self._folder.name}.")
                self._folder = ledger.folder
            left = [
                one
                for one in self._patiently(lambda: entries_in_queue(ledger, self._slurm))
                if one.job_id != self._job_id
            ]
            if any(one.kind == Kind.CLOSING.value for one in left):
                print("Another closing job of this run is in the queue.")
                return 0
            tasks = [one for one in left if one.kind in (Kind.TASK.value, Kind.CONTINUATION.value)]
            if tasks:
                self._come_again(ledger, tasks)
                return 0
        code, left_again = self._snakemake(ledger)
        if self._is_closing and not left_again:
            self._close(code)
        return code

    def _snakemake(self, ledger: Record) -> tuple[int, bool]:
        """Exit code, and whether there is more to come."""
        os.chdir(ledger.header["started_in"])
        command = tuple(ledger.header["command"])
        sys.argv = list(command)

        from .adapt.imports import without_unused_packages  # noqa: PLC0415

        with without_unused_packages() if ledger.header.get("records_in_files") else nullcontext():
            from snakemake import cli  # noqa: PLC0415 - slow, and not needed before

        from .adapt.closing import End, goes_on  # noqa: PLC0415
        from .executor import Executor  # noqa: PLC0415

        done = settled(ledger)
        Executor.continued = Continued(
            folder=self._folder,
            is_closing=self._is_closing,
            had_succeeded=done.succeeded.__contains__,
            check=self._check,
        )
        end = End(
            failures=self._failures,
            run_hook=self._run_hook,
            locked_until=ledger.header.get("time", 0.0) if ledger.header.get("locks") else 0.0,
        )
        goes_on(
            self._folder,
            ledger.left_out,
            tasks={entry.task for entry in ledger.of_kind(Kind.TASK)},
            is_settled=done.__contains__,
            succeeded=done.succeeded.__contains__,
            end=end if self._is_closing else None,
        )
        try:
            cli.main(list(command[1:]))
        except Leaving:
            return 0, True
        except SystemExit as leave:
            return (leave.code if isinstance(leave.code, int) else int(bool(leave.code))), False
        return 0, False

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
        return live, [one for one in events if isinstance(one, TaskEnded)]

    def _failures(self) -> list[str]:
        """What has failed: causes, each with what fell with it, or what has not succeeded without any."""
        live, ends = self._ends
        causes = [one for one in ends if one.outcome.is_cause]
        if not causes and (left := live.unfinished):
            return [unexplained_message(left)]
        return [
            failure_message(one, usage_of(one.job, self._slurm) if one.job else Usage(), live.fallen(one.task))
            for one in causes
        ]

    def _come_again(self, ledger: Record, tasks: list[Entry]) -> None:
        """Tasks are in the queue that this job was not made to wait for: let another one do so."""
        own = (*self._own, *ledger.of_kind(Kind.CLOSING))[-1]
        ids = ":".join(dict.fromkeys(array_of(one.job_id) for one in tasks))
        number = ledger.last_number + 1
        name = f"{own.job_name.rsplit('.', 2)[0]}.{ledger.run}.{number}"
        log = f"{self._folder}/{Path(own.log).name}"
        options = _without(own.options, "--job-name", "--comment", "--dependency", "--begin")
        options = [one.replace(own.log, log) for one in options]
        options += [f"--job-name={name}", f"--comment={name}", f"--dependency=afterany:{ids}"]
        record = Ledger(self._folder)
        record.numbered(number)
        record.intend(
            name, kind=own.kind, task=own.task, label=own.label, attempt=number, attempts=1, options=options,
            log=log, edges=[], spared=True,
        )  # fmt: skip
        script = self._script()
        job_id = self._patiently(lambda: self._slurm.submit(options, script))
        record.submitted(name, job_id)
        print(f"{len(tasks)} jobs of the run have not ended; Slurm job {job_id} waits for them.")

    def _script(self) -> str:
        from .plan.jobscript import continuation_script  # noqa: PLC0415

        return continuation_script(sys.executable, str(self._folder), self._kind.value)

    def _close(self, code: int) -> None:
        """Nothing of the run stays in the queue, and its end can be read in one line."""
        ledger = read_ledger(self._folder)
        left = [
            one.job_id
            for one in self._patiently(lambda: entries_in_queue(ledger, self._slurm))
            if one.job_id != self._job_id
        ]
        if left:
            self._slurm.cancel(left)
        self._check()
        Ledger(self._folder).close()
        tasks = {*(entry.task for entry in ledger.of_kind(Kind.TASK)), *ledger.refused}
        well = len(tasks & settled(ledger).succeeded)
        ends = self._patiently(lambda: self._ends[1])
        numbers = well, len(tasks), sum(one.outcome is Outcome.NOT_NEEDED for one in ends)
        causes = [one for one in ends if one.outcome.is_cause]
        print(end_of_run(ledger.run, code, numbers, causes, self._failed_hook), flush=True)
        if ledger.header.get("efficiency_report"):
            report_at_end(self._folder, self._slurm, print, print)

    def _patiently(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return ask()
            except (SlurmUnreachable, SlurmRefused) as error:
                passes = isinstance(error, SlurmUnreachable) or lacks_room(error.answer)
                if not passes or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)


def _without(options: Iterable[str], *names: str) -> list[str]:
    return [option for option in options if option.partition("=")[0] not in names]


if __name__ == "__main__":
    sys.exit(main())
