"""Submits a job of a run that goes on with it once more."""

import sys
from pathlib import Path

from ..options import Options
from ..plan.jobscript import continuation_script
from ..plan.model import Kind
from ..slurm.client import Slurm
from .ledger_record import Entry


def resubmit(own: Entry, folder: Path, kind: Kind, slurm: Slurm, new: Options) -> str:
    """Submit a job once more that goes on with a run; its id.

    Args:
        own: what the ledger has of the job.
        folder: of the run that the new one goes on with.
        kind: of the job.
        slurm: the scheduler.
        new: options that replace those of the same name. It waits for nothing and begins at once unless they say so.
    """
    return slurm.submit(changed(own.options, new), continuation_script(sys.executable, str(folder), kind.value))


def changed(options: Options, new: Options) -> Options:
    """Options of sbatch with others in their place, and without what they waited for."""
    return options.without("dependency", "begin") | new
