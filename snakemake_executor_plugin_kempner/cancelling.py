"""`--kempner-cancel`: cancels instead of running the workflow.

So it also works when running would not: with a lock, with incomplete files of running tasks, with nothing to be done.
"""

import os
from collections.abc import Callable
from pathlib import Path

from .adapt.cancelling import instead_of_running
from .ending.finish import Finish
from .invocation import started
from .run.cancelling import Canceller
from .run.cluster import cluster_of_folder
from .slurm.client import SlurmCommands


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
    runs = Path(".snakemake/kempner").absolute()
    slurm = SlurmCommands(cluster=cluster_of_folder(runs))
    finish = Finish(slurm=slurm, say=say, warn=warn)
    say(Canceller(runs, os.getcwd(), slurm, say, warn, finish=finish.cancelled).everything(started().time))
