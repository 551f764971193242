"""`kempner report`: what the jobs of a run used and waited, as a table, CSV, JSON, or a page with charts."""

import shutil
import sys
import time
from pathlib import Path

from ..efficiency.jobs import RunUse, run_use
from ..efficiency.report import WIDTH, use_message
from ..errors import KempnerError
from ..printable import printable
from ..report import short_path
from ..reporting.attempts import AttemptRow, attempt_rows
from ..reporting.rows import as_csv, waiting_lines
from ..state.judged import run_state
from ..state.model import RunState
from ..state.sources import Sources, read_sources
from .output import print_json
from .places import Place


def report(place: Place, run: str, *, form: str, output: str | None) -> None:
    """Print the report, or write it in another form (`html`, `csv`, `json`).

    Raises:
        KempnerError: there is no such run, the file cannot be written, or a package is missing.
    """
    sources = read_sources(place.ledger(run), place.slurm)
    state, use = run_state(sources), run_use(sources.ledger, place.slurm, _warn, earlier=sources.earlier)
    rows = attempt_rows(state, use.jobs, submitted(sources))
    match form:
        case "csv":
            _write(output, as_csv(rows))
        case "json":
            print_json(rows)
        case _:
            _print(state, use, rows)


def submitted(sources: Sources) -> dict[str, float]:
    """When each job was submitted: the first ledger that has it knows."""
    entries = [entry for ledger in reversed(sources.ledgers) for entry in reversed(ledger.entries)]
    return {entry.job_id: entry.time for entry in entries if entry.job_id and entry.time}


def _print(state: RunState, use: RunUse, rows: tuple[AttemptRow, ...]) -> None:
    if state.earlier:
        print(printable(f"Run {state.run} goes on with {', '.join(state.earlier)}, whose jobs are counted here."))
    print(use_message(use, max(WIDTH, shutil.get_terminal_size().columns)))
    print("", *waiting_lines(rows, time.time()), sep="\n")


def _warn(text: str) -> None:
    sys.stderr.write(f"{printable(text)}\n")


def _write(output: str | None, text: str) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    path = Path(output)
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise KempnerError(f"{short_path(path)} cannot be written: {error.strerror}") from error
    print(short_path(path.absolute()), file=sys.stderr)
