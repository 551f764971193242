"""`python -m snakemake_executor_plugin_kempner.continuing KIND FOLDER`: go on with the run in a folder, as a Slurm job.

The command line that began the run is given to Snakemake once more, in this process. A continuation submits what could
not be planned before. The closing job comes when everything has ended, see `closing`.
"""

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from .closing import Closing, patiently
from .errors import ClaimLost, FolderInUse, KempnerError, SlurmError
from .invocation import Continued, Leaving
from .options import Options
from .plan.model import Kind
from .run.again import resubmit
from .run.claim import Claim, Owner, this_process
from .run.clock import SystemClock
from .run.latest import is_latest
from .run.ledger import Ledger, read_ledger
from .run.ledger_record import LedgerRecord
from .run.settled import is_unwritten, settled
from .slurm.client import SlurmCommands

_PATIENCE = 1800.0
"""Seconds for which another job of the run that holds the claim is waited for."""
_LEAVING = 10.0
"""Seconds that a head may take to leave."""
_AGAIN = 120
"""Seconds after which a job that cannot be requeued looks again whether the head lives."""


def main() -> int:
    kind, folder = Kind(sys.argv[1]), Path(sys.argv[2])
    if os.environ.get("SLURM_JOB_ID"):
        _keep_log_private()
    try:
        return _Job(kind, folder).run()
    except KempnerError as error:
        print(f"kempner {kind.value}: {error}", file=sys.stderr)
        return 1


def _keep_log_private() -> None:
    """Snakemake prints its command line into the log of this job, and that may hold a password (`--config`)."""
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(1).st_mode):
            os.fchmod(1, 0o600)


class _Job:
    def __init__(self, kind: Kind, folder: Path) -> None:
        self._kind, self._folder = kind, folder
        self._slurm, self._job_id = SlurmCommands(), os.environ.get("SLURM_JOB_ID", "")
        self._check: Callable[[], None] = lambda: None

    def run(self) -> int:
        """Exit code of the job: for the closing job, that of the run."""
        owner = this_process(self._kind.value, self._folder.name, self._job_id)
        claim = Claim(self._folder.parent, owner, self._slurm.runs, SystemClock())
        if (head := self._staying_head(claim)) is not None:
            return self._leave_to(head)
        try:
            claim.take(_PATIENCE)
        except FolderInUse as error:
            print(error, file=sys.stderr)
            return self._leave_to(head) if (head := claim.living_head()) is not None else 1
        self._check = self._slurm.before_acting = claim.check
        try:
            return self._go_on()
        finally:
            claim.release()

    @staticmethod
    def _staying_head(claim: Claim) -> Owner | None:
        """The head that looks after the run, unless it leaves or ends now: short jobs may be over before it has left."""
        deadline = time.monotonic() + _LEAVING
        while (head := claim.living_head()) is not None and time.monotonic() < deadline:
            time.sleep(1)
        return head

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
            known = ledger.of_kind(self._kind)
            own = next((entry for entry in known if entry.job_id == self._job_id), known[-1])
            job_id = patiently(
                lambda: resubmit(own, self._folder, self._kind, self._slurm, Options({"begin": f"now+{_AGAIN}"}))
            )
            Ledger(self._folder).submitted(own.job_name, job_id)
            print(f"This job cannot be put back into the queue, so Slurm job {job_id} will look again: {error}")
        return 0

    def _go_on(self) -> int:
        ledger = read_ledger(self._folder)
        if ledger.closed:
            print(f"Run {ledger.run} is closed: nothing is left to be done.")
            return 0
        if self._kind is Kind.CLOSING:
            return self._close()
        if not is_latest(self._folder):
            print("A later run has begun in this folder; its closing job goes on.")
            return 0
        return self._snakemake(ledger)[0]

    def _close(self) -> int:
        closing = Closing(self._folder, self._slurm, self._job_id, self._check)
        ledger = closing.begin()
        if ledger is None:
            return 0
        try:
            code, goes_on_by_itself = (0, False) if closing.is_plain(ledger) else self._snakemake(ledger, closing)
            if not goes_on_by_itself:
                closing.end(code)
        except ClaimLost:
            raise  # the page is that of the other process
        except Exception as error:
            closing.give_up(str(error))
            raise
        return code

    def _snakemake(self, ledger: LedgerRecord, closing: Closing | None = None) -> tuple[int, bool]:
        """Exit code, and whether there is more to come."""
        os.chdir(ledger.header["started_in"])
        command = tuple(ledger.header["command"])
        sys.argv = list(command)

        from .adapt.imports import without_unused_packages  # noqa: PLC0415

        with without_unused_packages() if ledger.header.get("records_in_files") else nullcontext():
            from snakemake import cli  # noqa: PLC0415 - slow, and not needed before

        from .adapt.continuing import goes_on  # noqa: PLC0415
        from .executor import Executor  # noqa: PLC0415

        done = settled(ledger)
        Executor.continued = Continued(
            folder=ledger.folder,
            is_closing=closing is not None,
            had_succeeded=done.succeeded.__contains__,
            check=self._check,
        )
        goes_on(
            ledger.folder,
            ledger.left_out,
            unwritten={file for file in ledger.left_out if is_unwritten(file, ledger)},
            tasks={entry.task for entry in ledger.of_kind(Kind.TASK)},
            is_settled=done.__contains__,
            succeeded=done.succeeded.__contains__,
            end=closing.for_snakemake() if closing else None,
        )
        try:
            cli.main(list(command[1:]))
        except Leaving:
            return 0, True
        except SystemExit as leave:
            return (leave.code if isinstance(leave.code, int) else int(bool(leave.code))), False
        return 0, False


if __name__ == "__main__":
    sys.exit(main())
