"""Cancels jobs of a run, including jobs of a plan whose submission was interrupted, which are looked up in Slurm."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import KempnerError, SlurmError
from ..slurm.client import Slurm
from ..slurm.parse import records_of
from ..slurm.states import JobState
from .adopt import carried_out, in_queue
from .ledger import Ledger, read_ledger
from .submit import Submitter

_LEAVING = "COMPLETING"
"""State of a cancelled job that has not left its node yet."""
_PATIENCE = 10
"""Seconds for which cancelled jobs may run on before a process leaves that has cancelled them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftBehind:
    """Jobs of a run that may still run."""

    jobs: tuple[str, ...] = ()
    """Ids of jobs in the queue."""
    is_nothing: bool = True
    """No job is in the queue, and none can appear."""
    message: str = ""
    """What the user can do about it."""


def left_behind(folder: Path, slurm: Slurm, is_in_doubt: bool) -> LeftBehind:
    """Jobs that the run in the folder has in the queue, or may have there soon.

    Args:
        folder: of the run.
        slurm: the scheduler.
        is_in_doubt: a request got no answer.
    """
    try:
        ledger = read_ledger(folder)
        names = slurm.names()
        queue = {record.job_id: record for record in slurm.queue()}
    except KempnerError as error:
        message = (
            f"{error}\nJobs of this run may be in the queue. To cancel them: the same command with --kempner-cancel"
        )
        return LeftBehind(is_nothing=False, message=message)
    jobs = tuple(dict.fromkeys(entry.job_id for entry in in_queue([ledger], queue, names)))
    staying = [job_id for job_id in jobs if queue[job_id].word != _LEAVING]
    answered = {entry.job_name for entry in carried_out(ledger.entries, names)}
    unanswered = sorted({entry.job_name for entry in ledger.entries} - answered) if is_in_doubt else []
    cancel = f"scancel{slurm.where} {' '.join(staying)}"
    lines = [f"Jobs of this run are still in the queue. To cancel them: {cancel}"] if staying else []
    lines += [f"Slurm may still take a job of this run: squeue{slurm.where} --me --name={name}" for name in unanswered]
    return LeftBehind(jobs=jobs, is_nothing=not jobs and not unanswered, message="\n".join(lines))


class Withdrawal:
    """Cancels jobs of a run.

    Args:
        folder: of the run.
        slurm: the scheduler.
        ledger: records what was cancelled.
        submitter: knows whether a request got no answer.
    """

    def __init__(self, folder: Path, slurm: Slurm, ledger: Ledger, submitter: Submitter) -> None:
        self._folder, self._slurm, self._ledger, self._submitter = folder, slurm, ledger, submitter
        self._is_cut_short = False
        self._cancelled: set[str] = set()

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Wrap a submission: if the block is not completed, jobs of the plan may be left behind."""
        self._is_cut_short = True
        yield
        self._is_cut_short = False

    def left_behind(self) -> LeftBehind:
        """Jobs of a plan whose submission was interrupted."""
        if not self._is_cut_short:
            return LeftBehind()
        return left_behind(self._folder, self._slurm, self._submitter.is_in_doubt)

    def cancel(self, job_ids: Collection[str], *, pending_only: bool = False) -> int:
        """Cancel jobs and record it; returns their number.

        Raises:
            SlurmError: Slurm has not accepted the request; the message names the jobs.
        """
        if not job_ids:
            return 0
        try:
            self._slurm.cancel(job_ids, pending_only=pending_only)
        except SlurmError as error:
            cancel = f"scancel{self._slurm.where} {' '.join(job_ids)}"
            raise SlurmError(f"{error}\nTo cancel the jobs of this run: {cancel}") from error
        self._ledger.cancelled(job_ids)
        if not pending_only:
            self._cancelled.update(job_ids)
        return len(job_ids)

    def wait(self) -> None:
        """Wait a little for cancelled jobs that still run: what has left its node is over, and the run with it.

        Raises:
            SlurmError: Slurm did not answer.
        """
        for _ in range(_PATIENCE if self._cancelled else 0):
            seen = records_of(self._cancelled, self._slurm.queue())
            if not any(record.state is JobState.RUNNING for record in seen.values()):
                return
            time.sleep(1)
