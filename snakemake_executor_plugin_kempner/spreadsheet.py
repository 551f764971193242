"""Rows as CSV, with foreign text that no spreadsheet acts upon."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from .printable import printable

RowT = TypeVar("RowT")


def cell(text: str) -> str:
    """A cell of a CSV that no spreadsheet takes for a formula: what begins like one gets an apostrophe in front."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def rounded(value: float | None) -> float | None:
    return value if value is None else round(value, 4)


def as_csv(columns: Mapping[str, Callable[[RowT], object]], rows: Iterable[RowT]) -> str:
    """A line for each row below the names of the columns; unknown values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([value(row) for value in columns.values()] for row in rows)
    return text.getvalue()
