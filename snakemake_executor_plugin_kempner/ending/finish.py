"""What happens once for each run, when it has ended: its page is written, its mail is sent, its command is run.

Whoever is about to close the ledger does this first. Each act is noted in the ledger before it is done, as hooks are: if
this process dies, the next leaves out what was begun, and does the rest.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..efficiency.report import report_at_end
from ..errors import KempnerError
from ..layout import PAGE
from ..run.ledger import Ledger, read_ledger
from ..run.ledger_record import LedgerRecord
from ..run.result import Result
from ..slurm.client import Slurm
from ..state.judged import run_state
from ..state.model import RunState, State
from ..state.overview import Overview, overview
from ..state.page import page, subject
from ..state.sources import read_sources
from .mail import send
from .programs import run_command

MAIL, ON_END = "--kempner-mail", "--kempner-on-end"
"""How the ledger names what was begun."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The page about a run, as it is now."""

    text: str
    view: Overview

    @property
    def is_of_failure(self) -> bool:
        return not self.view.result.startswith("has succeeded")


def page_of(folder: Path, slurm: Slurm, notes: Sequence[str] = (), result: Result | None = None) -> Page | None:
    """The page about the run in a folder; None if it has no task.

    Args:
        folder: of the run.
        slurm: the scheduler.
        notes: more to say about its end.
        result: of a run that is about to be closed.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    state = run_state(read_sources(read_ledger(folder), slurm))
    now = time.time()
    view = overview(state if result is None else _closed(state, result, now), now, state.workdir)
    return Page(text=page(view, notes), view=view) if state.tasks else None


def _closed(state: RunState, result: Result, now: float) -> RunState:
    """The run as it is when nothing of it is left in the queue, which may take a moment yet."""
    words = {State.WAITING: State.NEVER, State.RETRYING: State.FAILED}
    if result is Result.CANCELLED:
        words[State.RUNNING] = State.CANCELLED
    tasks = tuple(replace(task, state=words.get(task.state, task.state)) for task in state.tasks)
    return replace(state, closed=True, result=result, ended=now, tasks=tasks, helpers=(), watched_by="", left_out=0)


def write_page(folder: Path, page: Page) -> None:
    """Write the page of a run, for its owner alone: the command that it names may hold a password (`--config`).

    Raises:
        OSError: it cannot be written.
    """
    with open(folder / PAGE, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(page.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """Ends runs.

    Args:
        slurm: the scheduler.
        say: gets messages.
        warn: gets warnings: nothing here changes how the run has ended.
        show: gets the page.
    """

    slurm: Slurm
    say: Say
    warn: Say
    show: Callable[[Page], None] = lambda _page: None

    def run(self, folder: Path, result: Result, notes: Sequence[str] = ()) -> None:
        """Do what is to be done once, for the run in the folder, which has ended like this."""
        try:
            found = page_of(folder, self.slurm, notes, result)
            if found is None:
                return
            found = self._with_use(folder, found)
            self._write(folder, found)
            self.show(found)
            ledger = read_ledger(folder)
            self._once(ledger, MAIL, lambda: self._mail(ledger, found))
            self._once(ledger, ON_END, lambda: self._command(ledger, result))
        except Exception as error:  # noqa: BLE001 - whatever is wrong here, the run has ended and is closed
            self.warn(f"The end of run {folder.name} cannot be told in full: {error}")

    def cancelled(self, folder: Path) -> None:
        """As `run`, for a run whose user has cancelled it."""
        self.run(folder, Result.CANCELLED)

    def tell(self, folder: Path, notes: Sequence[str] = ()) -> None:
        """Show the page of a run that another process ends."""
        try:
            if found := page_of(folder, self.slurm, notes):
                self.show(found)
        except KempnerError as error:
            self.warn(str(error))

    def _with_use(self, folder: Path, found: Page) -> Page:
        """The page, with what the jobs used of what they asked for if that was wished."""
        said = [found.text]
        if read_ledger(folder).header.get("efficiency_report"):
            report_at_end(folder, self.slurm, said.append, self.warn)
        return replace(found, text="\n".join(said).rstrip("\n") + "\n")

    def _write(self, folder: Path, found: Page) -> None:
        try:
            write_page(folder, found)
        except OSError as error:
            self.warn(f"{folder / PAGE} cannot be written: {error.strerror}")

    def _once(self, ledger: LedgerRecord, name: str, act: Callable[[], None]) -> None:
        """Note an act that was asked for, and do it; nothing that may have been done before is done again.

        Raises:
            KempnerError: it cannot be noted, or has failed.
        """
        if ledger.header.get(_HEADER[name]) and name not in ledger.hooks:
            Ledger(ledger.folder).hook(name)
            act()

    def _mail(self, ledger: LedgerRecord, found: Page) -> None:
        try:
            send(ledger, subject(found.view), found.text, self.slurm, self.say)
        except KempnerError as error:
            self.warn(str(error))

    def _command(self, ledger: LedgerRecord, result: Result) -> None:
        command = str(ledger.header[_HEADER[ON_END]])
        page_path, folder = ledger.folder / PAGE, str(ledger.header.get("started_in", ""))
        variables = {
            "KEMPNER_RESULT": result.value or "unknown",
            "KEMPNER_RUN": ledger.run,
            "KEMPNER_FOLDER": str(ledger.header.get("workdir", "")),
            "KEMPNER_PAGE": str(page_path),
        }
        if fault := run_command(command, folder, variables):
            self.warn(f"{ON_END} has failed, which does not change how the run has ended: {fault}: {command}")


_HEADER = {MAIL: "mail", ON_END: "on_end"}
"""Where a ledger's first line says what was asked for."""
