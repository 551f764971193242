"""`--kempner-cancel`: in place of running the workflow, so that nothing stands in the way that running would need.

Files that look incomplete because their task runs right now, a lock, or that nothing is to be done: whoever wants to
cancel need not care.
"""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from .adapt.cancelling import instead_of_running
from .invocation import started
from .run.claim import claim_folder, this_head
from .run.opening import Found, cancel_found, look_back
from .slurm.client import SlurmCommands


def cancel_instead_of_running() -> None:
    """Let this process cancel what earlier runs in its working directory have in the queue, once it has read the workflow."""
    instead_of_running(_cancel)


def _cancel(say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Cancel, and say what was cancelled.

    Raises:
        FolderInUse: a process that lives looks after the runs.
        LedgerError: the record of a run cannot be read.
        SlurmError: the jobs do not leave the queue.
    """
    runs, slurm = Path(".snakemake/kempner").absolute(), SlurmCommands()
    if not runs.is_dir():
        say(cancel_found(Found(ledgers=(), left=()), slurm))
        return
    claim = claim_folder(runs, this_head(uuid.uuid4().hex[:8]), slurm.runs, say)
    try:
        say(cancel_found(look_back(runs, os.getcwd(), slurm, started().time, warn), slurm))
    finally:
        claim.release()
