"""Which runs and which jobs belong to a folder and to this user.

A folder may be copied, have two paths, or be shared by two users. Its path alone does not distinguish these cases, and
a mistake would submit the tasks of a run a second time.

A working directory is identified by its inode number besides its path: a copy has a different inode, another path to
the same folder has the same. The device number does not count, since on a network file system it differs between
machines and mounts. The owner of a ledger comes from the file system first, since a file's content may be wrong.
"""

import os
import pwd
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import FolderInUse, LedgerError
from ..layout import LEDGER, run_folders
from ..plan.model import Kind
from ..slurm.client import Slurm
from ..slurm.ids import array_id, in_order
from .ledger import read_ledger
from .ledger_record import LedgerRecord
from .ledgers import is_closed

_OURS = re.compile(r".+\.([0-9a-f]{8})\.[0-9]+", re.DOTALL)
"""Name of a job of this plugin, with the run's name in it."""
_SHOWN = 20
"""How many job ids a message lists."""


def marks(workdir: str) -> dict[str, Any]:
    """The entries in a ledger's first line that identify its folder and user."""
    uid = os.getuid()
    return {"workdir": workdir, "inode": os.stat(workdir).st_ino, "user": user_name(uid), "uid": uid}


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


# --- folders --------------------------------------------------------------------------------------------------------


def is_here(ledger: LedgerRecord, workdir: str) -> bool:
    """Whether the run belongs to this folder, under this path or another; False for a ledger in a copied folder."""
    place = ledger.header.get("workdir")
    if place is None:
        return False
    if place == workdir:
        return True
    try:
        # The run's own folder too: the roots of all file systems have the same inode number.
        return _numbers(place, ledger.run) == _numbers(workdir, ledger.run)
    except OSError:  # on this machine the folder has only another path, or it was moved
        return os.path.exists(workdir) and bool(ledger.header.get("inode") == os.stat(workdir).st_ino)


def _numbers(workdir: str, run: str) -> tuple[int, ...]:
    return tuple(os.stat(path).st_ino for path in (workdir, os.path.join(workdir, ".snakemake", "kempner", run)))


def other_path(ledger: LedgerRecord, workdir: str) -> str:
    """A message about a run that was started under another path to this folder; empty for this path."""
    place = ledger.header.get("workdir")
    if place == workdir:
        return ""
    told = (
        f"Run {ledger.run} was started in {place}, which is this folder under another path: its jobs are this folder's."
    )
    if os.path.exists(str(place)):
        return told
    return f"{told} That path does not exist here; if the folder was moved, cancel them (--kempner-cancel): they fail."


# --- users ----------------------------------------------------------------------------------------------------------


def refuse_other_users(runs: Path, workdir: str) -> None:
    """Refuse to work beside open runs of other users, whose jobs this user cannot see or cancel.

    Raises:
        FolderInUse: a run of another user in this folder is not closed.
    """
    for folder in run_folders(runs):
        user = other_user(folder)
        if not user or _is_over(folder, workdir):
            continue
        raise FolderInUse(
            f"User {user}",
            f"run {folder.name} of {user} is not closed, and what it has in the queue can be seen by {user} alone. Ask "
            f"{user} to wait for its end or to cancel it (--kempner-cancel), or work in a copy of this folder. If none of "
            f"its jobs is left (squeue --user={user}), move {folder} out of the way.",
        )


def other_user(folder: Path) -> str:
    """Name of the owner of the run in the folder; empty for this user."""
    owner = (folder / LEDGER).stat().st_uid
    if owner != os.getuid() and owner != _uid_of_my_files(folder.parent):
        return user_name(owner)
    told = _header(folder).get("uid", os.getuid())
    return "" if told == os.getuid() else user_name(told)


def _is_over(folder: Path, workdir: str) -> bool:
    """The run is closed, or its ledger has come with a copied folder."""
    try:
        ledger = read_ledger(folder)
    except LedgerError:
        return is_closed(folder)
    return ledger.closed or (bool(ledger.header) and not is_here(ledger, workdir))


def _header(folder: Path) -> Mapping[str, Any]:
    try:
        return read_ledger(folder).header
    except LedgerError:
        return {}


def _uid_of_my_files(folder: Path) -> int:
    """The owner that the file system shows for files of this user: some show the same owner for everybody."""
    probe = folder / f"claim.{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_uid
    except OSError:
        return os.getuid()
    finally:
        probe.unlink(missing_ok=True)


# --- jobs -----------------------------------------------------------------------------------------------------------


def unexplained(runs: Path, workdir: str, slurm: Slurm, ledgers: Iterable[LedgerRecord]) -> dict[str, str]:
    """Names of jobs in the queue, by id, that belong to runs of this folder but are in none of these ledgers.

    Args:
        runs: `.snakemake/kempner`; it need not exist.
        workdir: the working directory.
        slurm: the scheduler.
        ledgers: of runs of this folder that are open.

    Raises:
        SlurmError: Slurm could not be asked.
    """
    known = {entry.job_name for ledger in ledgers for entry in ledger.entries}
    found = {
        job_id: (name, match[1])
        for job_id, both in slurm.names().items()
        for name in both[:0:-1] + both[:1]
        if name not in known and (match := _OURS.fullmatch(name))
    }
    if not found:
        return {}
    folders = slurm.workdirs()
    closed = {run: _closed_here(runs / run, workdir) for run in {run for _, run in found.values()}}
    return {
        job_id: name
        for job_id, (name, run) in found.items()
        if job_id in folders and _belongs(name, runs / run, closed[run], folders[job_id], workdir)
    }


def _closed_here(folder: Path, workdir: str) -> LedgerRecord | bool | None:
    """The ledger of a run of this folder; False for a run of another folder; None if it cannot be read."""
    try:
        ledger = read_ledger(folder)
    except LedgerError:
        return None
    if "workdir" not in ledger.header:
        return None
    return ledger if is_here(ledger, workdir) else False


def _belongs(name: str, folder: Path, ledger: LedgerRecord | bool | None, place: str, workdir: str) -> bool:
    if isinstance(ledger, LedgerRecord):
        helpers = {entry.job_name for entry in ledger.entries if entry.kind != Kind.TASK.value}
        return not (ledger.closed and name in helpers)  # helpers of an ended run leave the queue by themselves
    if ledger is False:
        return False
    try:
        return place == workdir or os.path.samefile(place, workdir)
    except OSError:  # that path does not exist on this machine, but the run's folder may
        return folder.exists()


def refuse_unexplained(jobs: Mapping[str, str]) -> None:
    """Refuse to submit while unknown jobs are in the queue, which may run any task.

    Raises:
        LedgerError: there are such jobs.
    """
    if not jobs:
        return
    ids = in_order(array_id(job_id) for job_id in jobs)
    runs = ", ".join(sorted({name.rsplit(".", 2)[1] for name in jobs.values()}))
    shown = " ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")
    raise LedgerError(
        f"Jobs of this folder are in the queue, and the record of their run ({runs}) is missing or damaged: Slurm jobs "
        f"{shown}. Which tasks they run cannot be told, so nothing was submitted. Wait for their end, or cancel them: give "
        "the same command with --kempner-cancel."
    )
