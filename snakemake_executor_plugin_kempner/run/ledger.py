"""The append-only record of a run's submissions: a JSON object per line, version first.

An intent is written before each call of sbatch, and the job id after its answer. An intent without a job id is a
submission whose answer was lost; its job can be looked up in Slurm by its job name.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import LedgerError
from ..layout import CLOSED, LEDGER
from ..options import Options
from ..plan.dependency import DependencyType
from ..plan.task import Edge
from ..slurm.ids import array_id
from .folders import point_to
from .ledger_record import Entry, LedgerRecord
from .lines import VERSION, parse

_OWNER_ALONE = 0o600
"""A ledger contains command lines and sbatch options, which may hold passwords. Logs stay readable for the group."""


class Ledger:
    """The ledger of a run, `ledger.jsonl` in the run's folder.

    Args:
        folder: of the run.
        warn: gets a message when a line cannot be written that the run does not depend on.
        header: the first line; without it, the existing ledger is continued.

    Raises:
        LedgerError: an intent or job id cannot be written (full disk, no permission), so nothing may be submitted.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None] = print, **header: Any) -> None:
        self.path = folder / LEDGER
        self._warn, self._warned = warn, False
        if header or not self.path.exists():
            self._write({"version": VERSION, **header})
        else:
            self._mend()

    def intend(self, job_name: str, **what: Any) -> None:
        """Record that sbatch is about to be called; `array` has the index and differing values of each element."""
        self._write({"intent": job_name, **what})

    def submitted(self, job_name: str, job_id: str) -> None:
        self._write({"submitted": job_name, "job_id": job_id})

    def numbered(self, last: int) -> None:
        """Record the highest number in the job names of a plan that is about to be submitted; later plans count on."""
        self._write({"numbered": last})

    def adopted(self, entry: Entry) -> None:
        """Record that a submission of an earlier run is part of this run from now on."""
        self.intend(
            entry.job_name, job_id=entry.job_id, index=entry.index, kind=entry.kind, task=entry.task, label=entry.label,
            attempt=entry.attempt, attempts=entry.attempts, segments=entry.segments, options=entry.options.argv,
            log=entry.log, edges=[(edge.on, edge.type, edge.declared) for edge in entry.edges], members=entry.members,
            logs=entry.logs, spared=entry.spared, content=dict(entry.content), units=dict(entry.units),
            folder=entry.folder,
        )  # fmt: skip

    def ended(self, job_id: str, **how: Any) -> None:
        self._note({"ended": job_id, **how})

    def cancelled(self, job_ids: Iterable[str], *, by_user: bool = False) -> None:
        self._note({"cancelled": sorted(job_ids), **({"by_user": True} if by_user else {})})

    def left_out(self, files: Iterable[str]) -> None:
        """Record outputs of tasks without room in the queue: a continuation must make them, even without --force…."""
        self._write({"left_out": sorted(files)})

    def plain_end(self) -> None:
        """Record that nothing is left for Snakemake to do once all tasks have succeeded."""
        self._note({"plain_end": True})

    def refused(self, task: str, label: str, why: str) -> None:
        """Record that a task has failed because it cannot be submitted."""
        self._note({"refused": task, "label": label, "why": why})

    def hook(self, name: str) -> None:
        """Record that a hook of the workflow is about to run, so that it never runs twice."""
        self._write({"hook": name})

    def close(self, by: str = "", result: str = "") -> None:
        """Record that nothing of the run is left, and how it has ended (`Result`), or that the run `by` looks after it."""
        if self._note({"closed": True, "by": by, "result": result}):
            with suppress(OSError):
                (self.path.parent / CLOSED).touch()
            if by:
                point_to(self.path.parent, by)

    def _mend(self) -> None:
        """End an incomplete last line, of a process that was killed while writing; the next line must be separate."""
        try:
            with self.path.open("rb+") as file:
                if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.write(b"\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error

    def _note(self, entry: dict[str, Any]) -> bool:
        """Write a line that Slurm could also tell: if that fails, the run goes on, and the user is warned once."""
        try:
            self._write(entry)
        except LedgerError as error:
            if not self._warned:
                self._warn(str(error))
            self._warned = True
            return False
        return True

    def _write(self, entry: dict[str, Any]) -> None:
        line = _line({**entry, "time": round(time.time(), 3)})
        try:
            # Opened for each line: on a network file system, an open file may fail after a quota error or a move.
            with open(self.path, "a", encoding="utf-8", opener=_of_owner_alone) as file:
                file.write(line + "\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error


def _of_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ALONE)


def _line(entry: dict[str, Any]) -> str:
    """JSON with readable characters; escaped if a file name is not valid Unicode."""
    line = json.dumps(entry, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(entry)
    return line


def read_ledger(folder: Path) -> LedgerRecord:
    """Read the ledger of a run. An incomplete last line, of a head that was killed while writing, is skipped.

    Raises:
        LedgerError: the ledger is missing, empty, or has a version that this package does not know.
    """
    path = folder / LEDGER
    try:
        # A line may end in the middle of a character.
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LedgerError(f"The record of the run cannot be read from {path}: {error.strerror}") from error
    lines = parse(text, str(path))
    others = lines.others
    ids = {entry["submitted"]: entry["job_id"] for entry in others if "submitted" in entry}
    entries = tuple(_entry(line, ids, folder) for line in lines.submissions)
    told = {(entry.job_name, job_id) for entry in entries for job_id in (entry.job_id, array_id(entry.job_id))}
    return LedgerRecord(
        header=lines.header,
        entries=entries,
        closed=any("closed" in entry for entry in others),
        result=next((str(entry.get("result", "")) for entry in reversed(others) if "closed" in entry), ""),
        folder=folder,
        ended=next((_seconds(entry.get("time")) for entry in others if "closed" in entry), 0.0),
        taken_over_by=next((entry["by"] for entry in reversed(others) if entry.get("by")), ""),
        refused={entry["refused"]: (entry["label"], entry["why"]) for entry in others if "refused" in entry},
        hooks=frozenset(entry["hook"] for entry in others if "hook" in entry),
        left_out=frozenset(next((entry["left_out"] for entry in reversed(others) if "left_out" in entry), ())),
        ends={entry["ended"]: entry for entry in others if "ended" in entry},
        cancelled=frozenset(job_id for entry in others for job_id in entry.get("cancelled", ())),
        cancelled_by_user=frozenset(
            job_id for entry in others if entry.get("by_user") is True for job_id in entry.get("cancelled", ())
        ),
        plain_end=any(entry.get("plain_end") is True for entry in others),
        numbered=max((entry["numbered"] for entry in others if "numbered" in entry), default=0),
        unexplained=lines.ids - told,
        unread=lines.unread,
    )


def _entry(told: dict[str, Any], ids: Mapping[str, str], folder: Path) -> Entry:
    index = told.get("index")
    return Entry(
        kind=told["kind"],
        task=told["task"],
        label=told["label"],
        attempt=told["attempt"],
        attempts=told["attempts"],
        segments=told.get("segments", 1),
        edges=tuple(Edge(on=on, type=DependencyType(kind), declared=declared) for on, kind, declared in told["edges"]),
        members=tuple(told.get("members", ())),
        logs=tuple(told.get("logs", ())),
        spared=told["spared"],
        options=Options.of(*told["options"]),
        log=told["log"],
        job_name=told["intent"],
        index=index,
        job_id=told.get("job_id") or _element_id(ids.get(told["intent"], ""), index),
        # Beside this run's folder: the ledger may have the same folder under another path.
        folder=str(folder.parent / Path(told["folder"]).name) if "folder" in told else str(folder),
        time=told.get("time", 0.0),
        content=told.get("content", {}),
        units=told.get("units", {}),
    )


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _element_id(array: str, index: int | None) -> str:
    return array if index is None or not array else f"{array}_{index}"


def write_manifest(path: Path, text: bytes) -> None:
    """Write the manifest of an array, readable for the owner only, before the array is submitted.

    Raises:
        LedgerError: the manifest cannot be written.
    """
    try:
        with open(path, "wb", opener=_of_owner_alone) as file:
            file.write(text)
    except OSError as error:
        raise LedgerError(f"The manifest {path} cannot be written: {error.strerror}") from error
