"""Deletes the folders (logs, records, scripts) of ended runs when they are old."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from ..layout import LEDGER
from .ledger_record import LedgerRecord
from .ledgers import all_ledgers

DAY = 86_400.0


def prune(runs: Path, days: float, now: float) -> Iterator[str]:
    """Delete the folders of runs that ended more than so many days ago; yields their names.

    A folder is kept while an open run has taken over jobs from it, which write there.

    Args:
        runs: `.snakemake/kempner`.
        days: age in days.
        now: seconds since 1970.
    """
    ledgers = sorted(all_ledgers(runs), key=lambda ledger: ledger.folder)
    still_open = [ledger for ledger in ledgers if not ledger.closed]
    needed = {ledger.folder for ledger in still_open}
    needed |= {Path(entry.folder) for ledger in still_open for entry in ledger.entries}
    for record in ledgers:
        folder = record.folder
        if folder in needed or not record.closed:
            continue
        if now - max(path.stat().st_mtime for path in (folder / LEDGER, *folder.glob("*"))) > days * DAY:
            for path in (*_logs(record), folder):
                shutil.rmtree(path, ignore_errors=True)  # on a network file system a file may be open elsewhere
            yield folder.name


def _logs(record: LedgerRecord) -> set[Path]:
    """Folders of the run's logs: `<logdir>/<run>`, where a log is `<logdir>/<run>/<rule>/<file>`."""
    folders = {Path(entry.log).parent.parent for entry in record.entries}
    return {folder for folder in folders if folder.name == record.folder.name}
