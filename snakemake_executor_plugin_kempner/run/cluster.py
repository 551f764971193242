"""Which cluster has the jobs of a folder's runs, and whether it is the one that is asked.

A folder on a shared file system can be reached from several clusters, and a command may be given with another
SLURM_CONF. Elsewhere the jobs of a run look gone, and another job may have the same id.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import LedgerError, OtherCluster, SlurmError
from ..slurm.client import Slurm
from .belonging import is_here, other_user
from .ledger_record import Entry, LedgerRecord
from .ledgers import open_ledgers
from .records import own_record


def name_of_cluster(slurm: Slurm) -> str:
    """The cluster that answers; empty if none does."""
    with suppress(SlurmError):
        return slurm.cluster()
    return ""


def cluster_of_run(ledger: LedgerRecord) -> str:
    """Name of the cluster that has the jobs of a run, from which it was started or not; empty if it is not recorded."""
    found = re.match(r"cluster (\S+) \(", str(ledger.header.get("cluster") or ""))
    return found[1] if found else ""


def cluster_of_folder(runs: Path) -> str:
    """The same for the open runs of this user in this folder, which are all on one cluster; empty without any."""
    try:
        return next(filter(None, map(cluster_of_run, _open_here(runs))), "")
    except LedgerError:  # reported by what reads it next
        return ""


def refuse_other_cluster(ledgers: Iterable[LedgerRecord], slurm: Slurm) -> None:
    """Refuse to judge runs of another cluster.

    A cluster whose controller has moved has another mark, but knows the jobs.

    Raises:
        OtherCluster: a run was started on another cluster, and has jobs that this cluster does not know.
        SlurmError: Slurm did not answer.
    """
    told = [ledger for ledger in ledgers if ledger.header.get("cluster")]
    here = slurm.cluster() if told else ""
    for ledger in told:
        there = str(ledger.header["cluster"])
        if there != here and _has_unknown_jobs(ledger, slurm):
            raise OtherCluster(ledger.run, there, here, ledger.folder)


def refuse_folder_of_other_cluster(runs: Path, slurm: Slurm) -> None:
    """The same for all open runs of this user in this folder, before it is claimed from what may be at work there.

    Without a readable ledger or an answer of Slurm nothing is refused: what comes next needs both.

    Raises:
        OtherCluster: as `refuse_other_cluster`.
    """
    try:
        refuse_other_cluster(_open_here(runs), slurm)
    except OtherCluster:
        raise
    except (SlurmError, LedgerError):
        return


def _open_here(runs: Path) -> Iterator[LedgerRecord]:
    for ledger in open_ledgers(runs):
        if not other_user(ledger.folder) and is_here(ledger, os.getcwd()):
            yield ledger


def _has_unknown_jobs(ledger: LedgerRecord, slurm: Slurm) -> bool:
    names = slurm.names()
    known = {name for both in names.values() for name in both}
    return any(
        entry.job_name not in names.get(entry.job_id, ()) if entry.job_id else entry.job_name not in known
        for entry in ledger.entries
        if entry.job_id not in ledger.noted and not _has_ended(entry)
    )


def _has_ended(entry: Entry) -> bool:
    written = own_record(entry)
    return written is not None and written.end is not None
