"""The append-only record of what a run intended and submitted: one JSON object per line, version first.

An intent is written before sbatch is called and the job id after it has answered, so that an intent without
an id is a submission whose answer was lost; it can be looked up in Slurm by its job name.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LedgerError
from ..plan.dependency import DependencyType, for_element
from ..plan.model import Edge, Kind
from ..slurm.ids import array_id
from .lines import VERSION, parse, says_anything

_OWNER_ALONE = 0o600
"""A ledger holds the command line and options of sbatch, in which users give passwords. Logs stay readable for a group."""
_LONGEST_NUMBER = 10
_CLOSED = "closed"
"""A file beside the ledger that tells other users, who may not read it, that nothing of the run is left."""


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

    def refused(self, task: str, label: str, why: str) -> None:
        """A task of the run cannot be submitted, and has failed by that."""
        self._note({"refused": task, "label": label, "why": why})

    def hook(self, name: str) -> None:
        """A hook of the workflow is about to run. Written before, so that it never runs twice."""
        self._write({"hook": name})

    def close(self, by: str = "") -> None:
        """Nothing of the run is left to look after, or the run of that name does it."""
        if self._note({"closed": True, "by": by}):
            with suppress(OSError):
                (self.path.parent / _CLOSED).touch()

    def _mend(self) -> None:
        """A torn last line, of a process that was killed while it wrote, must not swallow the next one."""
        try:
            with self.path.open("rb+") as file:
                if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.write(b"\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error

    def _note(self, entry: dict[str, Any]) -> bool:
        """Write what Slurm knows as well: when it cannot be written, the run goes on, and the user is told once."""
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
            # Opened for each line: on a network file system an open file outlives neither a quota nor a move.
            with open(self.path, "a", encoding="utf-8", opener=_of_owner_alone) as file:
                file.write(line + "\n")
        except OSError as error:
            raise LedgerError(f"The record of this run cannot be written to {self.path}: {error.strerror}") from error


def _of_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ALONE)


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
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Label of each task that cannot be submitted, and why, by its key."""
    left_out: frozenset[str] = frozenset()
    """Outputs of tasks that had no room in the queue when the last plan was submitted."""
    noted: frozenset[str] = frozenset()
    """Ids of jobs whose end a head has seen."""
    cancelled: frozenset[str] = frozenset()
    """Ids of jobs that a head has cancelled, or was about to."""
    numbered: int = 0
    """The highest number that was set aside for the name of a submission, whether or not that came to be submitted."""
    unexplained: frozenset[tuple[str, str]] = frozenset()
    """Names and ids of jobs of which no line that can be read says what they are."""
    unread: int = 0
    """Lines that cannot be read: a head was killed while it wrote, or the file is damaged."""

    @property
    def run(self) -> str:
        return self.folder.name

    @property
    def last_number(self) -> int:
        """No name of a submission has a higher one. Calls are not made in the order of their numbers."""
        names = {entry.job_name for entry in self.entries} | {name for name, _ in self.unexplained}
        ends = (name.rpartition(".")[2] for name in names if f".{self.run}." in name)
        known = (int(end) for end in ends if end.isdecimal() and len(end) < _LONGEST_NUMBER)
        return max(self.numbered, len(self.entries), *known)

    def of_kind(self, kind: Kind) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind == kind.value)


def read_ledger(folder: Path) -> Record:
    """The ledger of a run. A torn last line, of a head that was killed while it wrote, is passed over.

    Raises:
        LedgerError: there is none, it says nothing, or it has a version that this package does not know.
    """
    path = folder / "ledger.jsonl"
    try:
        # A line may be torn in the middle of a character.
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LedgerError(f"The record of the run cannot be read from {path}: {error.strerror}") from error
    lines = parse(text, str(path))
    others = lines.others
    ids = {entry["submitted"]: entry["job_id"] for entry in others if "submitted" in entry}
    entries = tuple(_entry(one, ids, folder) for one in lines.submissions)
    told = {(entry.job_name, job_id) for entry in entries for job_id in (entry.job_id, array_id(entry.job_id))}
    return Record(
        header=lines.header,
        entries=entries,
        closed=any("closed" in entry for entry in others),
        folder=folder,
        taken_over_by=next((entry["by"] for entry in reversed(others) if entry.get("by")), ""),
        refused={entry["refused"]: (entry["label"], entry["why"]) for entry in others if "refused" in entry},
        hooks=frozenset(entry["hook"] for entry in others if "hook" in entry),
        left_out=frozenset(next((entry["left_out"] for entry in reversed(others) if "left_out" in entry), ())),
        noted=frozenset(entry["ended"] for entry in others if "ended" in entry),
        cancelled=frozenset(job_id for entry in others for job_id in entry.get("cancelled", ())),
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
        edges=tuple(Edge(on=on, type=DependencyType(kind), declared=declared) for on, kind, declared in told["edges"]),
        members=tuple(told.get("members", ())),
        spared=told["spared"],
        options=tuple(told["options"]),
        log=told["log"],
        job_name=told["intent"],
        index=index,
        job_id=told.get("job_id") or _element_id(ids.get(told["intent"], ""), index),
        # Beside this one, whatever path leads here: the folder may have been written down under another.
        folder=str(folder.parent / Path(told["folder"]).name) if "folder" in told else str(folder),
        time=told.get("time", 0.0),
        content=told.get("content", {}),
        units=told.get("units", {}),
    )


def _element_id(array: str, index: int | None) -> str:
    return array if index is None or not array else f"{array}_{index}"


def latest_ledger(folder: Path) -> Record:
    """The ledger of the run in the folder, or of the one that looks after it now.

    Raises:
        LedgerError: as `read_ledger`.
    """
    record = read_ledger(folder)
    seen = {record.run}
    while record.taken_over_by and record.taken_over_by not in seen:
        record = read_ledger(record.folder.parent / record.taken_over_by)
        seen.add(record.run)
    return record


def all_ledgers(folder: Path) -> Iterator[Record]:
    """Every ledger below the folder.

    One without a line that can be read is passed over: its head was killed before it could submit anything, or it is damaged,
    and the names of its jobs have to tell. So is that of another user who lets nobody read it, and has closed it.

    Raises:
        LedgerError: one cannot be read, or has a version that this package does not know; its jobs may be in the queue.
    """
    for path in folder.glob("*/ledger.jsonl"):
        try:
            if says_anything(path.read_bytes()):
                yield read_ledger(path.parent)
        except PermissionError as error:
            if not is_closed(path.parent):
                raise LedgerError(f"The record of the run cannot be read from {path}: {error.strerror}") from error


def is_closed(folder: Path) -> bool:
    """Whether nothing of the run is left to look after, for those who may not read its ledger."""
    return (folder / _CLOSED).exists()


def taken_over(record: Record) -> tuple[Record, ...]:
    """The ledger of a run and those that it has taken over, directly or not.

    Raises:
        LedgerError: as `all_ledgers`.
    """
    heirs = {one.run: one for one in all_ledgers(record.folder.parent) if one.taken_over_by}
    found = {record.run: record}
    while more := {name: one for name, one in heirs.items() if name not in found and one.taken_over_by in found}:
        found |= more
    return tuple(found.values())


def open_ledgers(folder: Path) -> tuple[Record, ...]:
    """The ledgers of earlier runs below the folder that were not closed, oldest first.

    Raises:
        LedgerError: as `all_ledgers`.
    """
    # By the first line: a file is written to again when another run takes over, perhaps by one that dies doing so.
    found = sorted(all_ledgers(folder), key=lambda record: float(record.header.get("time", 0)))
    return tuple(record for record in found if not record.closed)


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
    """Write down which task each element of an array is, before the array is submitted; for nobody else to read.

    Raises:
        LedgerError: it cannot be written.
    """
    try:
        with open(path, "wb", opener=_of_owner_alone) as file:
            file.write(text)
    except OSError as error:
        raise LedgerError(f"The manifest {path} cannot be written: {error.strerror}") from error
