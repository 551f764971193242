"""Folders of runs that are over are removed when they are old: logs, records, scripts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from .ledger import Record, open_ledgers, read_ledger

DAY = 86_400.0


def prune(runs: Path, days: float, now: float) -> Iterator[str]:
    """Remove the folders of runs that ended more than so many days ago, and name them.

    What a run that is not over has taken over from an earlier one stays where it is: its jobs write there.

    Args:
        runs: `.snakemake/kempner`.
        days: age in days.
        now: seconds since 1970.
    """
    still_open = open_ledgers(runs)
    needed = {ledger.folder for ledger in still_open}
    needed |= {Path(entry.folder) for ledger in still_open for entry in ledger.entries}
    for ledger in sorted(runs.glob("*/ledger.jsonl")):
        folder = ledger.parent
        if folder in needed or not (record := read_ledger(folder)).closed:
            continue
        if now - max(path.stat().st_mtime for path in (ledger, *folder.glob("*"))) > days * DAY:
            for one in (*_logs(record), folder):
                shutil.rmtree(one, ignore_errors=True)  # on a network file system a file may be open elsewhere
            yield folder.name


def _logs(record: Record) -> set[Path]:
    """Folders of the run's logs: `<logdir>/<run>`, where a log is `<logdir>/<run>/<rule>/<file>`."""
    folders = {Path(entry.log).parent.parent for entry in record.entries}
    return {folder for folder in folders if folder.name == record.folder.name}
