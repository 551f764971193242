"""Reads what there is of a run, and writes its page."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ..efficiency.jobs import run_use
from ..errors import KempnerError
from ..layout import REPORT
from ..phrases import command_line, short_path
from ..printable import printable
from ..run.ledger import read_ledger
from ..run.ledger_record import LedgerRecord
from ..slurm.client import Slurm
from ..state.judged import run_state
from ..state.model import RunState
from ..state.sources import Sources, read_sources
from .attempts import attempt_rows
from .page import Links, Subject, page


def subject(ledger: LedgerRecord, slurm: Slurm, warn: Callable[[str], None]) -> Subject:
    """What is known of a run, and of those that it has taken over.

    Args:
        ledger: of the run.
        slurm: the scheduler.
        warn: gets a message when Slurm does not say what the jobs used.

    Raises:
        LedgerError: a ledger cannot be read.
    """
    sources = read_sources(ledger, slurm)
    state, use = run_state(sources), run_use(ledger, slurm, warn, earlier=sources.earlier)
    return Subject(
        state=state,
        use=use,
        rows=attempt_rows(state, use.jobs, _submitted(sources)),
        now=time.time(),
        command=command_line(state.command),
        versions=_versions(ledger),
    )


def _versions(ledger: LedgerRecord) -> dict[str, str]:
    """As the head has noted them."""
    told = ledger.header.get("versions")
    return {str(name): str(number) for name, number in told.items()} if isinstance(told, dict) else {}


def _submitted(sources: Sources) -> dict[str, float]:
    """When each job was submitted: the first ledger that has it knows."""
    entries = [entry for ledger in reversed(sources.ledgers) for entry in reversed(ledger.entries)]
    return {entry.job_id: entry.time for entry in entries if entry.job_id and entry.time}


def write_page(what: Subject, path: Path) -> None:
    """Write the page of a run, for its owner alone: commands and options may hold passwords.

    Raises:
        KempnerError: it cannot be written, or the library that draws is not installed.
    """
    text = page(what, links(what.state, path.absolute().parent))
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace", opener=_of_owner_alone) as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        raise KempnerError(f"{short_path(path)} cannot be written: {error.strerror}") from error


def _of_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def links(state: RunState, place: Path) -> Links:
    """The logs that are there, as addresses relative to the folder of the page."""

    @cache
    def there(folder: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(folder))
        except OSError:
            return frozenset()

    def address(log: Path) -> str:
        whole = os.path.join(os.getcwd(), log)
        exists = os.path.basename(whole) in there(os.path.dirname(whole))
        return quote(os.fsencode(os.path.relpath(whole, place))) if exists else ""

    of_job: Mapping[str, str] = {
        attempt.job_id: found
        for task in state.tasks
        for attempt in task.attempts
        if attempt.start is not None and (found := address(attempt.log))
    }
    of_rule: dict[str, Sequence[str]] = {
        task.key: files for task in state.tasks if (files := [link for log in task.rule_logs if (link := address(log))])
    }
    return Links(of_job=of_job, of_rule=of_rule)


def write_at_end(folder: Path, slurm: Slurm, say: Callable[[str], None]) -> None:
    """Write the page into the folder of a run that has ended, if the library that draws is installed.

    Errors here are messages: they must not change the outcome of the run.
    """
    if find_spec("vl_convert") is None:
        return
    try:
        write_page(subject(read_ledger(folder), slurm, say), folder / REPORT)
    except Exception as error:  # noqa: BLE001 - see above
        say(f"The report cannot be written: {printable(str(error))}")
