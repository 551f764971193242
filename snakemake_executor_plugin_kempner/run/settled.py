"""What is done by the record of a run, for those who go on with it."""

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LedgerError
from ..layout import UP_TO_DATE
from ..plan.model import Kind
from .ledger_record import Entry, LedgerRecord
from .ledgers import taken_over
from .records import own_record


def note_up_to_date(folder: Path, keys: Collection[str]) -> None:
    """Write down that these jobs are done, although no Slurm job of the run says so.

    Raises:
        LedgerError: the file cannot be written.
    """
    try:
        with (folder / UP_TO_DATE).open("a", encoding="utf-8") as file:
            file.write("".join(f"{key}\n" for key in keys))
    except OSError as error:
        raise LedgerError(f"The record of this run cannot be written to {folder}: {error.strerror}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """Keys of the jobs, members of groups among them, that are done by the record of a run."""

    succeeded: frozenset[str]
    """In the run, by the record of a Slurm job."""
    up_to_date: frozenset[str]
    """When the run began, or by the hand of its head."""

    def __contains__(self, key: object) -> bool:
        return key in self.succeeded or key in self.up_to_date


def settled(record: LedgerRecord) -> Settled:
    """What is done by the record of a run; where its head died before it had a plan, those that it has taken over tell."""
    has_plan = (record.folder / UP_TO_DATE).exists()
    own = {entry.task for entry in record.of_kind(Kind.TASK)}
    before = () if has_plan else tuple(earlier for earlier in taken_over(record) if earlier.run != record.run)
    entries = (
        *(entry for earlier in before for entry in earlier.of_kind(Kind.TASK) if entry.task not in own),
        *record.of_kind(Kind.TASK),
    )
    up_to_date = (_up_to_date(known.folder) for known in (record, *before))
    return Settled(succeeded=_succeeded(entries), up_to_date=frozenset().union(*up_to_date))


def succeeded_before(record: LedgerRecord) -> frozenset[str]:
    """Keys of the jobs that have succeeded in the runs that this run has taken over, members of groups among them."""
    earlier = reversed(taken_over(record)[1:])  # what has run again counts as it was left last
    return _succeeded(entry for known in earlier for entry in known.of_kind(Kind.TASK))


def is_unwritten(file: str, record: LedgerRecord) -> bool:
    """Whether a file is as old as when the run began. Snakemake sees for itself that a file is missing.

    Both times are the file system's: the clock of the head that began the run may be another.
    """
    begun = record.header.get("file_time", record.header["time"])  # 0.1.0 knew the head's clock only
    with suppress(OSError):
        return os.lstat(os.path.join(record.header["workdir"], file)).st_mtime < float(begun)
    return False


def _succeeded(entries: Iterable[Entry]) -> frozenset[str]:
    last = {(entry.task, entry.attempt): entry for entry in entries}  # it may be submitted once more
    done = (key for entry in last.values() if has_succeeded(entry) for key in (entry.task, *entry.members))
    return frozenset(done)


def has_succeeded(entry: Entry) -> bool:
    """Whether a job has, by its own account."""
    written = own_record(entry)
    return written is not None and written.exit_code == 0


def _up_to_date(folder: Path) -> frozenset[str]:
    try:
        return frozenset((folder / UP_TO_DATE).read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()
