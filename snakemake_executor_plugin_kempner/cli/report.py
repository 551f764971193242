"""`kempner report`: what the jobs of a run used and waited, as a table, CSV, JSON, or a page with charts."""

import shutil
import sys
from pathlib import Path

from ..efficiency.report import WIDTH, use_message
from ..errors import KempnerError
from ..layout import REPORT
from ..printable import printable
from ..report import short_path
from ..reporting.page import Subject
from ..reporting.rows import as_csv, waiting_lines
from ..reporting.writing import subject, write_page
from .output import print_json
from .places import Place


def report(place: Place, run: str, *, form: str, output: str | None) -> None:
    """Print the report, or write it in another form (`html`, `csv`, `json`).

    Raises:
        KempnerError: there is no such run, the file cannot be written, or a package is missing.
    """
    found = subject(place.ledger(run), place.slurm, _warn)
    match form:
        case "html":
            path = Path(output) if output else found.state.folder / REPORT
            write_page(found, path)
            print(short_path(path.absolute()))
        case "csv":
            _write(output, as_csv(found.rows))
        case "json":
            print_json(found.rows)
        case _:
            _print(found)


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
