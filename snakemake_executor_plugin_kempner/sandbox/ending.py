"""How a sandbox ends: on demand, or when it has no owner any more. Callers of `take_down` hold the folder's lock."""

import time
from dataclasses import replace
from pathlib import Path

from . import daemons, processes
from .errors import AlreadyRunning, SandboxError
from .folder import Folder, SandboxRecord
from .processes import ProcessId

KEEPER = "keeper"
"""Its name in the record."""
LOOKS_BEFORE_THE_END = 2
"""How often in a row, once a second, a keeper must find no owner."""


def take_down(home: Folder, *, spare_folder: bool = False) -> None:
    """End every process of the sandbox in this folder and forget it; the logs stay, unless the folder is temporary.

    `spare_folder` keeps the logs even then.
    """
    record = home.read()
    if record is None:
        return
    if record.is_elsewhere:
        msg = (
            f"{home.path} holds a sandbox of the machine {record.host}: take it down there, choose another folder, "
            "or remove this one if that machine is gone"
        )
        raise SandboxError(msg)
    end_processes(home, record)
    home.clear(replace(record, temporary=record.temporary and not spare_folder))
    end_keeper(record)


def end_processes(home: Folder, record: SandboxRecord) -> None:
    """Kill the daemons first, so that they start nothing more, and then what their jobs left running.

    The keeper stays: if this process is killed here, the keeper does the rest.
    """
    ours = [process for name, process in record.living.items() if name != KEEPER]
    processes.kill(ours)
    processes.kill_jobs(home.jobs(record))
    daemons.reap(process for name, process in record.processes.items() if name != KEEPER)


def end_keeper(record: SandboxRecord) -> None:
    """Kill the keeper, unless this process is the keeper."""
    keeper = record.living.get(KEEPER)
    if keeper is not None and keeper != ProcessId.this():
        processes.kill([keeper])
        daemons.reap([keeper])


def make_way(home: Folder) -> None:
    """Clean up after a dead sandbox in this folder; refuse if the sandbox still runs."""
    record = home.read()
    if record is not None and record.lives:
        msg = f"a sandbox lives in {home.path} already"
        raise AlreadyRunning(msg)
    take_down(home)


def keep_watch(folder: Path) -> None:
    """Be the keeper: return when the sandbox is gone, or was taken down because its last owner is."""
    home = Folder(folder)
    last: SandboxRecord | None = None
    looks = 0
    while True:
        time.sleep(1)
        record = home.read()
        if record is None:
            break
        if record.processes.get(KEEPER, ProcessId.this()) != ProcessId.this():
            return  # another sandbox lives here now
        last = record
        looks = 0 if home.owners() else looks + 1
        if looks >= LOOKS_BEFORE_THE_END:
            with home.locked():
                if not home.owners():
                    take_down(home)
                    return
    if last is not None:  # the folder was removed under the sandbox
        end_processes(home, last)
        home.unlink(last)
