"""The append-only record of what a run intended and submitted: one JSON object per line, version first.

An intent is written before sbatch is called and the job id after it has answered, so that an intent without
an id is a submission whose answer was lost; it can be looked up in Slurm by its job name.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LedgerError
from ..plan.dependency import DependencyType, for_element
from ..plan.model import Edge, Kind

VERSION = 1


class Ledger:
    """The ledger of one run, `ledger.jsonl` in the run's folder.

    Args:
        folder: of the run.
        warn: is told when something cannot be written that the run does not depend on.
        header: the first line; without it, the ledger of the folder is continued.

    Raises:
        LedgerError: an intent or its answer cannot be written (full disk, no permission), so nothing may be submitted.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None] = print, **header: Any) -> None:
        self.path = folder / "ledger.jsonl"
        self._warn, self._warned = warn, False
        if header or not self.path.exists():
            self._write({"version": VERSION, **header})
        else:
            self._mend()

    def intend(self, job_name: str, **what: Any) -> None:
        """A call of sbatch is about to be made; `array` has for each element what differs, its index included."""
        self._write({"intent": job_name, **what})

    def submitted(self, job_name: str, job_id: str) -> None:
        self._write({"submitted": job_name, "job_id": job_id})

    def numbered(self, last: int) -> None:
        """A plan is about to be submitted whose names have numbers up to this one; no later name may be the same."""
        self._write({"numbered": last})

    def adopted(self, entry: "Entry") -> None:
        """A submission of an earlier run is part of this one from now on."""
        self.intend(
            entry.job_name,
            job_id=entry.job_id,
            index=entry.index,
            kind=entry.kind,
            task=entry.task,
            label=entry.label,
            attempt=entry.attempt,
            attempts=entry.attempts,
            options=entry.options,
            log=entry.log,
            edges=[(edge.on, edge.type, edge.declared) for edge in entry.edges],
            members=entry.members,
            spared=entry.spared,
            content=dict(entry.content),
            units=dict(entry.units),
            folder=entry.folder,
        )

    def ended(self, job_id: str, **how: Any) -> None:
        self._note({"ended": job_id, **how})

    def cancelled(self, job_ids: Iterable[str]) -> None:
        self._note({"cancelled": sorted(job_ids)})

    def left_out(self, files: Iterable[str]) -> None:
        """Outputs of tasks that have no room in the queue yet: a continuation is to make them, forced or not."""
        self._write({"left_out": sorted(files)})

    def hook(self, name: str) -> None:
        """A hook of the workflow is about to run. Written before, so that it never runs twice."""
        self._write({"hook": name})

    def close(self, by: str = "") -> None:
        """Nothing of the run is left to look after, or the run of that name does it."""
        self._note({"closed": True, "by": by})

    def _mend(self) -> None:
        """A torn last line, of a process that was killed while it wrote, must not swallow the next one."""
        try:
            with self.path.open("rb+") as file:
                if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.write(b"\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error

    def _note(self, entry: dict[str, Any]) -> None:
        """Write what Slurm knows as well: when it cannot be written, the run goes on, and the user is told once."""
        try:
            self._write(entry)
        except LedgerError as error:
            if not self._warned:
                self._warn(str(error))
            self._warned = True

    def _write(self, entry: dict[str, Any]) -> None:
        line = _line({**entry, "time": round(time.time(), 3)})
        try:
            # Opened for each line: on a network file system an open file outlives neither a quota nor a move.
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error


def _line(entry: dict[str, Any]) -> str:
    """Readable for people; escaped where a file's name is no text at all."""
    line = json.dumps(entry, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(entry)
    return line


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A submission as the ledger knows it."""

    kind: str
    task: str
    label: str
    attempt: int
    attempts: int
    """Number of the task's last one."""
    edges: tuple[Edge, ...]
    members: tuple[str, ...]
    """Keys of the jobs of a group."""
    spared: bool
    options: tuple[str, ...]
    log: str
    job_name: str
    """Of the array, for an element of one."""
    index: int | None
    """Of an element in its array."""
    job_id: str
    """Empty when the head died between the intent and the answer: the job may be in the queue under its name."""
    folder: str
    """Of the run that submitted it; its records lie there."""
    content: Mapping[str, str]
    """Digests of what the task runs on."""
    units: Mapping[str, int]
    """What it takes, while it runs, of what is limited."""
    time: float
    """Of the intent, in seconds since 1970."""

    @property
    def dependency(self) -> str:
        """What it waits for, as text for sbatch; empty when it waits for nothing."""
        found = next((one.partition("=")[2] for one in self.options if one.startswith("--dependency=")), "")
        return found if self.index is None else for_element(found, self.index)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What a ledger says."""

    header: dict[str, Any]
    entries: tuple[Entry, ...]
    """Submissions, intended or made, in order."""
    closed: bool
    """The run ended with nothing left in the queue, or another run has taken over what was left."""
    folder: Path
    """Of the run."""
    taken_over_by: str = ""
    """Name of the run that looks after what was left."""
    hooks: frozenset[str] = frozenset()
    """Hooks that have been run."""
    left_out: frozenset[str] = frozenset()
    """Outputs of tasks that had no room in the queue when the last plan was submitted."""
    noted: frozenset[str] = frozenset()
    """Ids of jobs whose end a head has seen."""
    cancelled: frozenset[str] = frozenset()
    """Ids of jobs that a head has cancelled, or was about to."""
    numbered: int = 0
    """The highest number that was set aside for the name of a submission, whether or not that came to be submitted."""

    @property
    def run(self) -> str:
        return self.folder.name

    @property
    def last_number(self) -> int:
        """No name of a submission has a higher one. Calls are not made in the order of their numbers."""
        return max(self.numbered, len(self.entries))

    def of_kind(self, kind: Kind) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind == kind.value)


def read_ledger(folder: Path) -> Record:
    """The ledger of a run. A torn last line, of a head that was killed while it wrote, is passed over.

    Raises:
        LedgerError: there is none, or it has a version that this package does not know.
    """
    path = folder / "ledger.jsonl"
    try:
        # Not splitlines(): a label may hold characters that it takes for the end of a line.
        # A line may be torn in the middle of a character.
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise LedgerError(f"The record of the run cannot be read from {path}: {error.strerror}") from error
    entries = [entry for line in lines if (entry := _parsed(line)) is not None]
    if not entries or entries[0].get("version") != VERSION:
        version = entries[0].get("version") if entries else None
        raise LedgerError(f"{path} has version {version!r}; this package knows {VERSION}")
    ids = {entry["submitted"]: entry["job_id"] for entry in entries if "submitted" in entry}
    return Record(
        header=entries[0],
        entries=tuple(
            Entry(
                kind=entry["kind"],
                task=entry["task"],
                label=entry["label"],
                attempt=entry["attempt"],
                attempts=entry["attempts"],
                edges=tuple(
                    Edge(on=on, type=DependencyType(kind), declared=declared) for on, kind, declared in entry["edges"]
                ),
                members=tuple(entry.get("members", ())),
                spared=entry["spared"],
                options=tuple(entry["options"]),
                log=entry["log"],
                job_name=entry["intent"],
                index=entry.get("index"),
                job_id=entry.get("job_id") or _element_id(ids.get(entry["intent"], ""), entry.get("index")),
                folder=entry.get("folder", str(folder)),
                time=entry.get("time", 0.0),
                content=entry.get("content", {}),
                units=entry.get("units", {}),
            )
            for call in entries
            if "intent" in call
            for entry in ({**call, **element} for element in call.get("array", ({},)))
        ),
        closed=any("closed" in entry for entry in entries),
        folder=folder,
        taken_over_by=next((entry["by"] for entry in reversed(entries) if entry.get("by")), ""),
        hooks=frozenset(entry["hook"] for entry in entries if "hook" in entry),
        left_out=frozenset(next((entry["left_out"] for entry in reversed(entries) if "left_out" in entry), ())),
        noted=frozenset(entry["ended"] for entry in entries if "ended" in entry),
        cancelled=frozenset(job_id for entry in entries for job_id in entry.get("cancelled", ())),
        numbered=max((entry["numbered"] for entry in entries if "numbered" in entry), default=0),
    )


def _element_id(array: str, index: int | None) -> str:
    return array if index is None or not array else f"{array}_{index}"


def latest_ledger(folder: Path) -> Record:
    """The ledger of the run in the folder, or of the one that looks after it now.

    Raises:
        LedgerError: as `read_ledger`.
    """
    record = read_ledger(folder)
    while record.taken_over_by:
        record = read_ledger(record.folder.parent / record.taken_over_by)
    return record


def taken_over(record: Record) -> tuple[Record, ...]:
    """The ledger of a run and those that it has taken over, directly or not.

    Raises:
        LedgerError: as `read_ledger`.
    """
    paths = [path for path in record.folder.parent.glob("*/ledger.jsonl") if b"\n" in path.read_bytes()]
    heirs = {one.run: one for one in map(read_ledger, (path.parent for path in paths)) if one.taken_over_by}
    found = {record.run: record}
    while more := {name: one for name, one in heirs.items() if name not in found and one.taken_over_by in found}:
        found |= more
    return tuple(found.values())


def open_ledgers(folder: Path) -> tuple[Record, ...]:
    """The ledgers of earlier runs below the folder that were not closed, oldest first.

    One without a whole line is passed over: its head was killed before it could submit anything.

    Raises:
        LedgerError: one has a version that this package does not know; its jobs may be in the queue.
    """
    paths = [path for path in folder.glob("*/ledger.jsonl") if b"\n" in path.read_bytes()]
    # By the first line: a file is written to again when another run takes over, perhaps by one that dies doing so.
    found = sorted((read_ledger(path.parent) for path in paths), key=lambda record: float(record.header.get("time", 0)))
    return tuple(record for record in found if not record.closed)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def make_folders(run_folder: Path, logs: Iterable[str]) -> None:
    """The folders that jobs write to; slurmd does not make the folder of a log, it fails the job.

    Raises:
        LedgerError: a folder cannot be made.
    """
    folders = {run_folder / "ended", run_folder / "arrays", *(Path(log).parent for log in logs)}
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"The folder {folder} cannot be made: {error.strerror}") from error


def write_manifest(path: Path, text: bytes) -> None:
    """Write down which task each element of an array is, before the array is submitted.

    Raises:
        LedgerError: it cannot be written.
    """
    try:
        path.write_bytes(text)
    except OSError as error:
        raise LedgerError(f"The manifest {path} cannot be written: {error.strerror}") from error
