"""Parts of an overview for a terminal: what `kempner status` and the live view of a watched run have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..causes.alike import names
from ..phrases import count_of
from ..printable import printable
from .model import State
from .overview import ALWAYS, COLUMNS, Failure, Row

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STYLES: Mapping[str, str] = {
    State.DONE: "green",
    State.RUNNING: "cyan",
    State.RETRYING: "yellow",
    State.FAILED: "bold red",
    State.NEVER: "red",
    State.CANCELLED: "magenta",
    State.UNKNOWN: "bold yellow",
    "ok": "green",
    "warning": "yellow",
    "error": "bold red",
    "faint": "dim",
    "strong": "bold",
}
"""Style of each state of a task, and of each kind of message."""


def text(words: str, style: str = "") -> "Text":
    """Words with a style; control characters are escaped, and line breaks kept."""
    from rich.text import Text  # noqa: PLC0415 - only where something is shown

    return Text(printable(words, keep="\n\t"), style=STYLES.get(style, style))


def table_of(rows: Sequence[Row]) -> "RenderableType":
    """A row for each rule."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only here
    from rich.table import Table  # noqa: PLC0415

    columns = [column for column in COLUMNS if column in ALWAYS or any(row.numbers.get(column) for row in rows)]
    with_gpus = any(row.gpu_hours for row in rows)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("rule", overflow="fold")
    for name in ("tasks", *columns, *(["GPU hours"] if with_gpus else [])):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [
            text(str(row.numbers[column]), column) if row.numbers.get(column) else text("·", "faint")
            for column in columns
        ]
        table.add_row(text(row.rule), str(row.tasks), *cells, *([f"{row.gpu_hours:.1f}"] if with_gpus else []))
    return table


def causes_of(failures: Sequence[Failure], most: int) -> Iterator["Text"]:
    """A line for each cause of a failure, up to so many."""
    for failure in failures[:most]:
        line = text(f"  {len(failure.labels)} × ", STYLES[State.FAILED])
        line.append_text(text(failure.cause, STYLES[State.FAILED]))
        line.append_text(text(f"  {names(failure.labels)}"))
        if failure.never:
            line.append_text(text(f"; {count_of(failure.never, 'task')} cannot run", "faint"))
        yield line
    if len(failures) > most:
        yield text(f"  and {len(failures) - most} more causes", "faint")
