"""Retries elsewhere: the further attempts of a task keep off a node that has failed it.

Three processes see such a node. A job that fails within a minute of its start, where another job of the run has done so,
keeps the attempts that wait off its node before it ends. An attempt that starts sees how those before it have ended; a
head sees it at once.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import SlurmError
from ..layout import ENDED, KEPT_OFF, SHORT_LIVED
from ..options import Options
from ..slurm.client import Slurm
from ..slurm.parse import Record
from ..slurm.states import JobState
from .ledger_record import Entry
from .ledgers import latest_ledger
from .outcome import AttemptFailed, Job
from .records import step_record

_NODE_FAILED = frozenset({"NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED"})
_AT_LAUNCH = "JobLaunchFailure"
_NODE = re.compile(r"[A-Za-z0-9][\w.-]*")
"""The name of a single node; a job on several does not tell which of them it was."""
_MANY = 3
"""From so many short-lived jobs on a node on, each takes care of its own task: the others have done so."""


def blame(record: Record, *, has_begun: bool) -> str:
    """Why a node is to blame for the end of a job, by Slurm's word; empty if it is not.

    Args:
        record: the end.
        has_begun: the job has written down that it has started.
    """
    if record.state is not JobState.FAILED or not _NODE.fullmatch(record.node):
        return ""
    if record.word in _NODE_FAILED:
        return record.word
    if record.reason == _AT_LAUNCH or not has_begun:
        return "a job ended there before its program had started"
    return ""


def keep_off_after(failed: AttemptFailed, waiting: Iterable[Job], slurm: Slurm) -> None:
    """Keep the attempts that wait off the node of an attempt that has failed, if the node is to blame."""
    has_begun = step_record(Path(failed.job.folder), failed.job.job_id) is not None
    if why := blame(failed.record, has_begun=has_begun):
        jobs = [(job.job_id, job.submission.options, Path(job.folder)) for job in waiting]
        keep_off(slurm, jobs, failed.record.node, why)


def keep_off(slurm: Slurm, waiting: Iterable[tuple[str, Options, Path]], node: str, why: str) -> tuple[str, ...]:
    """Keep waiting jobs off a node, if another node can run them; the ids of those that keep off it now.

    Args:
        slurm: the scheduler.
        waiting: id of each job, its options, and the folder of the run that has submitted it.
        node: its name.
        why: in words, for people.
    """
    moved = []
    for job_id, options, folder in waiting:
        with suppress(SlurmError):  # it has started, or nobody answers: the attempt may run there once more
            if slurm.keep_off(job_id, node, options):
                _note(folder, job_id, node, why)
                moved.append(job_id)
    return tuple(moved)


def fails_at_once(folder: Path, slurm: Slurm, job_id: str, node: str) -> str:
    """A job has failed within a minute of its start: if it is not the first on its node, keep what waits off it.

    Where as many jobs of the run have failed like this on other nodes, the node is not to blame.

    Args:
        folder: of the run.
        slurm: the scheduler.
        job_id: its own.
        node: its own.

    Returns:
        What was done, in words; empty if nothing was.
    """
    if not _NODE.fullmatch(node):
        return ""
    others = _short_lived(folder, job_id, node)
    if not others or _short_lived_elsewhere(folder, node) > len(others):
        return ""
    failed = {job_id, *(others if len(others) < _MANY else ())}
    why = f"{len(others) + 1} jobs of this run failed there within a minute of their start"
    moved = keep_off(slurm, _further(latest_ledger(folder).entries, failed), node, why)
    return f"{why} ({node}): what is tried again keeps off it (Slurm job {', '.join(moved)})" if moved else ""


def _short_lived(folder: Path, job_id: str, node: str) -> set[str]:
    """The other jobs of the run that failed on the node at once. Each leaves its mark first and looks second."""
    place = folder / SHORT_LIVED / node
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / job_id).touch()
        return {path.name for path in place.iterdir()} - {job_id}
    except OSError:
        return set()


def _short_lived_elsewhere(folder: Path, node: str) -> int:
    with suppress(OSError):
        return sum(path.parent.name != node for path in (folder / SHORT_LIVED).glob("*/*"))
    return 0


def after_others(folder: Path, slurm: Slurm, job_id: str, ends: Mapping[str, Record | None]) -> None:
    """An attempt begins: keep those behind it off the nodes that have failed the attempts before it."""
    nodes = {
        record.node: why
        for earlier, record in ends.items()
        if record is not None and (why := blame(record, has_begun=_has_begun(folder, earlier)))
    }
    entries = latest_ledger(folder).entries if nodes else ()
    for node, why in nodes.items():
        keep_off(slurm, _further(entries, {job_id}), node, why)


def _has_begun(folder: Path, job_id: str) -> bool:
    return any(folder.parent.glob(f"*/{ENDED}/{job_id}.json"))


def _further(entries: Iterable[Entry], failed: Collection[str]) -> list[tuple[str, Options, Path]]:
    """The attempts behind these jobs that are in the ledger."""
    entries = tuple(entries)
    last = {entry.task: entry.attempt for entry in entries if entry.job_id in failed}
    return [
        (entry.job_id, entry.options, Path(entry.folder))
        for entry in entries
        if entry.job_id and entry.task in last and entry.attempt > last[entry.task]
    ]


# --- what is noted for people ---------------------------------------------------------------------------------------


def _note(folder: Path, job_id: str, node: str, why: str) -> None:
    with suppress(OSError):
        (folder / KEPT_OFF).mkdir(exist_ok=True)
        with (folder / KEPT_OFF / job_id).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"node": node, "why": why}) + "\n")


def kept_off(folder: Path, job_id: str) -> dict[str, str]:
    """The nodes that a job keeps off, each with the reason."""
    found: dict[str, str] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        for line in (folder / KEPT_OFF / job_id).read_text(encoding="utf-8").splitlines():
            known = json.loads(line)
            found.setdefault(str(known["node"]), str(known["why"]))
    return found
