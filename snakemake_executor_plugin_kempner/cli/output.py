"""Prints for people and for programs: colours on a terminal only, foreign text never as markup or control sequence."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..state.shown import text

__all__ = ["as_json", "console", "print_json", "text"]

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 100_000
"""Columns where there is no terminal: nothing is cut off or wrapped."""


def console() -> "Console":
    """Standard output, without interpretation of what is printed."""
    from rich.console import Console  # noqa: PLC0415 - only where something is shown

    is_terminal = sys.stdout.isatty()
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=None if is_terminal else _WIDE,
        force_terminal=None if is_terminal else False,
        no_color=True if os.environ.get("NO_COLOR") else None,
    )


def print_json(value: Any) -> None:
    """A value as JSON, with the names of its fields; in ASCII, so that no name can harm a terminal."""
    print(json.dumps(as_json(value), indent=2))


def as_json(value: Any) -> Any:
    """Dataclasses, enumerations and paths as what JSON has."""
    match value:
        case Enum():
            found = value.value
        case str():
            found = value.encode(errors="backslashreplace").decode()  # a name may be no valid Unicode
        case Path():
            found = str(value)
        case Mapping():
            found = {str(as_json(key)): as_json(item) for key, item in value.items()}
        case _ if is_dataclass(value):
            found = {item.name: as_json(getattr(value, item.name)) for item in fields(value)}
        case Iterable():
            found = [as_json(item) for item in value]
        case _:
            found = value
    return found
