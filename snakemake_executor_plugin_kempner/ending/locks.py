"""Snakemake's locks of a head that has died: its closing job removes them, as the head would have."""

from collections.abc import Mapping
from pathlib import Path

_SAME_TIME = 1.0
"""Seconds by which a file system may tell the time of a file differently on two machines."""


def remove_locks(folder: Path, held: Mapping[str, float]) -> None:
    """Remove the locks that the head held, and none of another process which has the same name.

    Args:
        folder: of Snakemake's locks.
        held: their names, each with its time as the file system told the head. The clock of a machine may be wrong.
    """
    for name, time_of_head in held.items():
        lock = folder / name
        if lock.exists() and abs(lock.stat().st_mtime - time_of_head) < _SAME_TIME:
            lock.unlink()
