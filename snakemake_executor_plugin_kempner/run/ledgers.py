"""The ledgers of all runs of a folder: which are open, and which run has taken over which."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import LedgerError
from ..layout import CLOSED, LEDGER, run_folders
from .ledger import read_ledger
from .ledger_record import LedgerRecord
from .lines import says_anything


def latest_ledger(folder: Path) -> LedgerRecord:
    """The ledger of the run in the folder, or of the run that has taken it over.

    Raises:
        LedgerError: as `read_ledger`.
    """
    record = read_ledger(folder)
    seen = {record.run}
    while record.taken_over_by and record.taken_over_by not in seen:
        record = read_ledger(record.folder.parent / record.taken_over_by)
        seen.add(record.run)
    return record


def all_ledgers(folder: Path, which: Callable[[bytes], Any] = bool) -> Iterator[LedgerRecord]:
    """Every ledger below the folder, or those with a content that `which` is true of.

    A ledger without a readable line is skipped: its head was killed before it submitted anything, or it is damaged, and
    its jobs are found by their names. So is a closed ledger of another user that cannot be read.

    Raises:
        LedgerError: a ledger cannot be read, or has an unknown version; its jobs may be in the queue.
    """
    for path in (run / LEDGER for run in run_folders(folder)):
        try:
            if which(content := path.read_bytes()) and says_anything(content):
                yield read_ledger(path.parent)
        except PermissionError as error:
            if not is_closed(path.parent):
                raise LedgerError(f"The record of the run cannot be read from {path}: {error.strerror}") from error


def is_closed(folder: Path) -> bool:
    """Whether the run is closed, for users who may not read its ledger."""
    return (folder / CLOSED).exists()


def taken_over(record: LedgerRecord) -> tuple[LedgerRecord, ...]:
    """The ledger of a run and those of runs that it has taken over, directly or indirectly.

    Raises:
        LedgerError: as `all_ledgers`.
    """
    closed = all_ledgers(record.folder.parent, re.compile(rb'"by": "[^"]').search)  # reading them all takes long
    heirs = {ledger.run: ledger for ledger in closed if ledger.taken_over_by}
    found = {record.run: record}
    while more := {
        name: ledger for name, ledger in heirs.items() if name not in found and ledger.taken_over_by in found
    }:
        found |= more
    return tuple(found.values())


def open_ledgers(folder: Path) -> tuple[LedgerRecord, ...]:
    """The ledgers below the folder that are not closed, oldest first.

    Raises:
        LedgerError: as `all_ledgers`.
    """
    # By the first line: a run that takes over writes to the file again, and may die while doing so.
    found = sorted(all_ledgers(folder), key=lambda record: record.began)
    return tuple(record for record in found if not record.closed)
