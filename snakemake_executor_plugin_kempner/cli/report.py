"""`kempner report`: what the jobs of a run used and waited, as a table, CSV, JSON, or a page with charts."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ..efficiency.jobs import run_use
from ..efficiency.report import WIDTH, use_message
from ..efficiency.suggestion import history, suggestion
from ..errors import KempnerError, LedgerError, SlurmError
from ..layout import REPORT
from ..phrases import short_path
from ..printable import printable
from ..reporting.page import Subject
from ..reporting.rows import CELLS, waiting_lines
from ..reporting.writing import subject, write_page
from ..run.ledger_record import LedgerRecord
from ..spreadsheet import as_csv
from .output import print_json
from .places import NotFoundError, Place


def report(place: Place, run: str, *, form: str, output: str | None) -> None:
    """Print the report, or write it in another form (`html`, `csv`, `json`).

    Raises:
        KempnerError: there is no such run, the file cannot be written, or a package is missing.
    """
    ledger = place.ledger(run)
    found = subject(ledger, place.slurm_of(ledger), _warn)
    match form:
        case "html":
            path = Path(output) if output else found.state.folder / REPORT
            write_page(found, path)
            print(short_path(path.absolute()))
        case "csv":
            _write(output, as_csv(CELLS, found.rows))
        case "json":
            print_json(found.rows)
        case _:
            _print(found)


def suggest_requests(place: Place, output: str | None) -> None:
    """Write lines for a profile, by what the jobs of all runs of the folder have used.

    Raises:
        KempnerError: no run is recorded, or the file cannot be written.
    """
    ledgers = list(_of_one_cluster(place))
    if not ledgers:
        raise NotFoundError(f"No run that can be read is recorded in {place.runs}.")
    latest, *earlier = ledgers
    use = run_use(latest, place.slurm_of(latest), _warn, earlier=earlier[::-1])
    entries = [entry for ledger in ledgers for entry in ledger.entries]
    _write(output, suggestion(history(use.jobs, entries, len(ledgers))))


def _of_one_cluster(place: Place) -> Iterator[LedgerRecord]:
    """The ledgers of the folder on the cluster of the latest, that first. A job id of another cluster means another job."""
    here: str | None = None
    for name in place.latest_first():
        try:
            ledger = place.ledger(name)
        except LedgerError as error:
            _warn(f"Left out: {error}")
            continue
        here = _asked(place, ledger) if here is None else here
        there = ledger.header.get("cluster")
        if here and there and there != here:
            _warn(f"Left out: run {name}, of {there}; this is {here}.")
            continue
        yield ledger


def _asked(place: Place, ledger: LedgerRecord) -> str:
    try:
        return place.slurm_of(ledger).cluster()
    except SlurmError as error:
        _warn(f"Slurm could not be asked: {error}")
        return ""


def _print(found: Subject) -> None:
    state = found.state
    if state.earlier:
        print(printable(f"Run {state.run} goes on with {', '.join(state.earlier)}, whose jobs are counted here."))
    print(use_message(found.use, max(WIDTH, shutil.get_terminal_size().columns)))
    print("", *waiting_lines(found.rows, found.now), sep="\n")


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
