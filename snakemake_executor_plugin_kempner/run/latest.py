"""Which run a closing job ends: the latest that is open in its folder, which takes over what the others have left.

A head that goes on with an earlier run copies what it adopts into its own ledger and then closes the earlier one. One that is
killed in between leaves two that are open, and perhaps no closing job but that of the first.
"""

import time
from collections.abc import Callable
from pathlib import Path

from ..plan.model import LOOK_AFTER, Kind
from ..slurm.client import Slurm
from .ledger import Ledger, read_ledger
from .ledger_record import LedgerRecord
from .ledgers import open_ledgers
from .opening import look_back


def latest_run(folder: Path, slurm: Slurm, own_job_id: str, warn: Callable[[str], None]) -> LedgerRecord:
    """The ledger of the latest open run, with all that is in the queue of the others; those are closed by its name.

    Args:
        folder: of the run whose closing job this process is.
        slurm: the scheduler.
        own_job_id: of this process.
        warn: is told of ledgers that are passed over.

    Raises:
        LedgerError: a ledger cannot be read or written.
        SlurmError: Slurm could not be asked.
    """
    own = read_ledger(folder)
    if all(record.run == own.run for record in open_ledgers(folder.parent)):
        return own
    found = look_back(folder.parent, str(own.header.get("workdir", "")), slurm, time.time(), warn)
    if not found.ledgers:
        return own
    *others, latest = found.ledgers
    known = {(entry.job_name, entry.index) for entry in latest.entries}
    left = [entry for task in found.left for entry in task.entries]
    gates = [entry for entry in found.jobs.values() if entry.kind == Kind.GATE.value]
    ledger = Ledger(latest.folder)
    for entry in (entry for entry in (*left, *gates) if (entry.job_name, entry.index) not in known):
        ledger.adopted(entry)
    theirs = {entry.job_name for record in others for entry in record.entries}
    helpers = [
        job_id
        for job_id, entry in found.jobs.items()
        if entry.kind in LOOK_AFTER and entry.job_name in theirs and job_id != own_job_id
    ]
    if helpers:
        slurm.cancel(helpers)
    for record in others:
        Ledger(record.folder).close(by=latest.run)
    return read_ledger(latest.folder)


def is_latest(folder: Path) -> bool:
    """Whether no run of the folder has begun after this one that is still open."""
    return all(record.run == folder.name for record in open_ledgers(folder.parent)[-1:])
