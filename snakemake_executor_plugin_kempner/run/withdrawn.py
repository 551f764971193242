"""What a plan has left in the queue whose submission was broken off: Slurm is asked, for nobody else knows."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import KempnerError
from ..slurm.client import Slurm
from .adopt import carried_out, in_queue
from .ledger import read_ledger

_LEAVING = "COMPLETING"
"""The state of a job that was cancelled and has not left its node."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftBehind:
    """What of a run may still run."""

    jobs: tuple[str, ...] = ()
    """Ids of jobs in the queue."""
    is_nothing: bool = True
    """Slurm says that nothing is there, and nothing can come any more."""
    message: str = ""
    """What a person can do about it."""


def left_behind(folder: Path, slurm: Slurm, is_in_doubt: bool) -> LeftBehind:
    """What the run in the folder has in the queue, or may have there soon.

    Args:
        folder: of the run.
        slurm: the scheduler.
        is_in_doubt: a request was sent to which there was no answer.
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
    lines = [f"Jobs of this run are still in the queue. To cancel them: scancel {' '.join(staying)}"] if staying else []
    lines += [f"Slurm may still take a job of this run: squeue --me --name={name}" for name in unanswered]
    return LeftBehind(jobs=jobs, is_nothing=not jobs and not unanswered, message="\n".join(lines))
