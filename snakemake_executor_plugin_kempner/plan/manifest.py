"""Which task each element of an array is: a file that every element reads its own line of.

What all elements have in common stands in the job script; the manifest has what differs, one line of JSON per index.
Before the lines stands a table of their places, so that one of ten thousand elements reads two short pieces of the
file, not the whole. Imported inside every job: keep it light.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

_WIDTH = 16
"""Bytes of an entry in the table: a number and the end of its line."""
_NONE = 0


def split(specs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all have in common, and what is left of each."""
    first = specs[0]
    common = {name: value for name, value in first.items() if all(one[name] == value for one in specs)}
    return common, [{name: value for name, value in one.items() if name not in common} for one in specs]


def manifest(lines: Mapping[int, Mapping[str, Any]]) -> bytes:
    """The text of a manifest.

    Args:
        lines: by index, ascending.
    """
    place = (max(lines) + 1) * _WIDTH
    places, parts = dict.fromkeys(range(max(lines) + 1), _NONE), []
    for index, line in lines.items():
        part = json.dumps(line).encode() + b"\n"
        places[index] = place
        place += len(part)
        parts.append(part)
    table = (f"{one:0{_WIDTH - 1}}\n".encode() for one in places.values())
    return b"".join([*table, *parts])


def read_line(file: BinaryIO, index: int) -> dict[str, Any]:
    """What the manifest says of an element.

    Raises:
        ValueError: nothing.
    """
    file.seek(index * _WIDTH)
    place = int(file.read(_WIDTH))
    if place == _NONE:
        raise ValueError(f"the manifest knows no element {index}")
    file.seek(place)
    line: dict[str, Any] = json.loads(file.readline())
    return line
