"""An overview → the page about a run: the same in a file, at the end of a watched run and in a mail. Pure.

At most 40 lines, whatever the run was, so that all of it can be read at a glance.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..causes.alike import names
from ..phrases import count_of
from ..printable import printable, quoted
from .model import State
from .overview import ALWAYS, COLUMNS, Failure, Overview, Row, title
from .wording import span

_ROWS = 9
_CAUSES = 5
_NOTES = 4
_WIDEST = 160
"""Characters of a cause, or of a list of tasks, that are shown."""
_MOMENT = "%a %d %b %H:%M"


def page(view: Overview, notes: Sequence[str] = ()) -> str:
    """What there is to say about the end of a run: result, time, counts, causes, what to type.

    Args:
        view: of the run.
        notes: more to say about its end.
    """
    said = [f"  {note}" for note in (*notes, *view.notes)][:_NOTES]
    parts = [[*_head(view), *said], _rules(view.rows), list(_causes(view.failures)), list(_to_type(view))]
    return printable("\n".join("\n".join(lines) + "\n" for lines in parts if lines), keep="\n")


def subject(view: Overview) -> str:
    """The subject of a mail about the run."""
    return f"{view.name} {view.result} (run {view.run})"


def _head(view: Overview) -> list[str]:
    waiting = max(0.0, view.until - view.since - view.computing)
    took = f"{span(view.until - view.since)}: computing {span(view.computing)}, waiting {span(waiting)}"
    lost = f", {view.gpu_hours_lost:.2f} of them in failed attempts" if view.gpu_hours_lost else ""
    return [
        title(view),
        f"  folder  {view.folder}",
        *([f"  time    {_from_to(view.since, view.until)}, {took}"] if view.since else []),
        *([f"  GPUs    {view.gpu_hours:.2f} GPU hours{lost}"] if view.gpu_hours else []),
    ]


def _from_to(since: float, until: float) -> str:
    """`Fri 27 Nov 18:03 to Sat 28 Nov 02:11`, `Fri 27 Nov 18:03 to 19:40`."""
    begin, end = time.localtime(since), time.localtime(until)
    short = _MOMENT.rpartition(" ")[2] if begin[:3] == end[:3] else _MOMENT
    return f"{time.strftime(_MOMENT, begin)} to {time.strftime(short, end)}"


# --- counts ---------------------------------------------------------------------------------------------------------


def _rules(rows: Sequence[Row]) -> list[str]:
    """A table with a row for each rule; of many rules, those first that are not done."""
    if not rows:
        return []
    shown = rows if len(rows) <= _ROWS else sorted(rows, key=lambda row: row.is_over)[: _ROWS - 1]
    columns = [column for column in COLUMNS if column in _OF_ENDED or any(row.numbers.get(column) for row in rows)]
    cells = [["rule", "tasks", *columns], *([row.rule, str(row.tasks), *_numbers(row, columns)] for row in shown)]
    if len(shown) < len(rows):
        rest = [row for row in rows if row not in shown]
        together = {column: sum(row.numbers.get(column, 0) for row in rest) for column in columns}
        name = f"{len(rest)} more rules"
        row = Row(rule=name, tasks=sum(row.tasks for row in rest), numbers=together, gpu_hours=0.0)
        cells.append([row.rule, str(row.tasks), *_numbers(row, columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
        )
        for name, *numbers in cells
    ]


_OF_ENDED = ALWAYS & {State.DONE, State.FAILED}


def _numbers(row: Row, columns: Sequence[State]) -> list[str]:
    numbers: Mapping[State, int] = row.numbers
    return [str(numbers.get(column) or "·") for column in columns]


# --- causes, and what to do -----------------------------------------------------------------------------------------


def _causes(failures: Sequence[Failure]) -> Iterator[str]:
    for failure in failures[:_CAUSES]:
        yield f"  {len(failure.labels)} × {_short(failure.cause)}: {_short(names(failure.labels))}"
        never = f"{count_of(failure.never, 'task')} could not run because of {'this' if len(failure.labels) == 1 else 'these'}"
        log = f"log: {failure.log}" if failure.log else ""
        if said := "; ".join(filter(None, (log, never if failure.never else ""))):
            yield f"      {said}"
    if len(failures) > _CAUSES:
        tasks = sum(len(failure.labels) for failure in failures[_CAUSES:])
        yield f"  {count_of(tasks, 'task')} more for {count_of(len(failures) - _CAUSES, 'other reason')}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 2]} …"


def _to_type(view: Overview) -> Iterator[str]:
    started_in = view.started_in or view.folder
    place = Path(os.path.relpath(view.folder, started_in))
    look = "kempner" if set(place.parts) <= {".."} else f"kempner -C {quoted(str(place))}"
    yield f"What to type, in {printable(started_in)}:"
    if view.failures:
        yield f"  {look} why failed  # each cause in full"
    if view.result.startswith("has succeeded"):
        yield f"  {look} efficiency  # what the jobs used of what they asked for"
    elif view.result.startswith("under way"):
        yield f"  {look}  # how far it is{f'; its end will be told in {view.end}' if view.end else ''}"
    else:
        yield f"  {view.command}  # goes on, once the cause is mended: what has succeeded is kept"
