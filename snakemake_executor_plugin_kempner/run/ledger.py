"""The append-only record of what a run intended and submitted: one JSON object per line, version first.

An intent is written before sbatch is called and the job id after it has answered, so that an intent without
an id is a submission whose answer was lost; it can be looked up in Slurm by its job name.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import LedgerError

VERSION = 1


class Ledger:
    """The ledger of one run, `ledger.jsonl` in the run's folder.

    Raises:
        LedgerError: the folder or the file cannot be written (full disk, no permission).
    """

    def __init__(self, folder: Path, **header: Any) -> None:
        self.path = folder / "ledger.jsonl"
        self._write({"version": VERSION, **header})

    def intend(self, job_name: str, **what: Any) -> None:
        self._write({"intent": job_name, **what})

    def submitted(self, job_name: str, job_id: str) -> None:
        self._write({"submitted": job_name, "job_id": job_id})

    def ended(self, job_id: str, **how: Any) -> None:
        self._write({"ended": job_id, **how})

    def cancelled(self, job_ids: Iterable[str]) -> None:
        self._write({"cancelled": sorted(job_ids)})

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps({**entry, "time": round(time.time(), 3)}, ensure_ascii=False)
        try:
            # Opened for each line: on a network file system an open file outlives neither a quota nor a move.
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error


def make_folders(run_folder: Path, logs: Iterable[str]) -> None:
    """The folders that jobs write to; slurmd does not make the folder of a log, it fails the job.

    Raises:
        LedgerError: a folder cannot be made.
    """
    folders = {run_folder / "ended", *(Path(log).parent for log in logs)}
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"The folder {folder} cannot be made: {error.strerror}") from error
