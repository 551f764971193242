"""Whether a run has ended while this process read the workflow: then what it has read is out of date.

Snakemake looks at the files first, and asks for the folder later. A task that was missing then may have been run by a job since,
and its run may be over: no open ledger would speak of it, and the task would run a second time.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from ..layout import CLOSED, run_folders
from .clock import file_time


def ended_since(runs: Path, since: float) -> tuple[str, ...]:
    """Names of the runs of a folder that were closed after a moment.

    Args:
        runs: `.snakemake/kempner`; it need not exist.
        since: seconds since 1970 by this machine's clock; that of the file system may differ.
    """
    closed = list(_closed(runs))
    if not closed or (ahead := _ahead(runs)) is None:
        return ()
    return tuple(sorted(run for run, moment in closed if moment - ahead >= since))


def _closed(runs: Path) -> Iterator[tuple[str, float]]:
    for folder in run_folders(runs):
        try:
            yield folder.name, (folder / CLOSED).stat().st_mtime
        except OSError:
            continue


def _ahead(runs: Path) -> float | None:
    """Seconds that the clock of the file system is ahead of this machine's; None where nothing can be written."""
    there = file_time(runs)
    return None if there is None else there - time.time()
