"""`--kempner-cancel`: cancels instead of running the workflow.

So it also works when running would not: with a lock, with incomplete files of running tasks, with nothing to be done.
"""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from .adapt.cancelling import instead_of_running
from .errors import LedgerError
from .invocation import started
from .layout import LEDGER
from .run.belonging import unexplained
from .run.claim import claim_folder, this_head
from .run.opening import EarlierRuns, cancel_found, look_back
from .slurm.client import Slurm, SlurmCommands


def cancel_instead_of_running() -> None:
    """Make this process read the workflow, and cancel the queued jobs of earlier runs in the working directory."""
    instead_of_running(_cancel)


def _cancel(say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Cancel, and print what was cancelled.

    Raises:
        FolderInUse: a live process looks after the runs.
        LedgerError: the claim on the folder cannot be read or written.
        SlurmError: the jobs do not leave the queue.
    """
    runs, slurm = Path(".snakemake/kempner").absolute(), SlurmCommands()
    if not runs.is_dir():
        say(_cancel_all(runs, slurm, warn))
        return
    claim = claim_folder(runs, this_head(uuid.uuid4().hex[:8]), slurm.runs, say)
    slurm.before_acting = claim.check
    try:
        say(_cancel_all(runs, slurm, warn))
    finally:
        claim.release()


def _cancel_all(runs: Path, slurm: Slurm, warn: Callable[[str], None]) -> str:
    """Cancel the jobs in the ledgers and, if a ledger is missing or damaged, queued jobs by their names.

    Raises:
        SlurmError: Slurm could not be asked, or the jobs do not leave the queue.
    """
    found = EarlierRuns(ledgers=(), left=())
    try:
        found = look_back(runs, os.getcwd(), slurm, started().time, warn)
    except LedgerError as error:
        warn(f"{error}. Its jobs are looked for by their names.")
    for ledger in found.ledgers:
        if ledger.unread:
            warn(f"{ledger.unread} lines of {ledger.folder / LEDGER} cannot be read and are passed over.")
    return cancel_found(found, slurm, unexplained(runs, os.getcwd(), slurm, found.ledgers))
