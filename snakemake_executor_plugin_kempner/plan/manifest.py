"""The manifest of an array: a file from which each element reads its own task.

The job script has what all elements have in common; the manifest has the rest, a line of JSON per index. A table of the
lines' positions comes first, so that each of ten thousand elements reads two short pieces of the file, not all of it
(`step/light/job.py`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH = 16
"""Bytes of an entry in the table: a number and the end of its line."""
_NONE = 0


def split(specs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The items that all specs have in common, and the other items of each."""
    first = specs[0]
    common = {name: value for name, value in first.items() if all(spec[name] == value for spec in specs)}
    return common, [{name: value for name, value in spec.items() if name not in common} for spec in specs]


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
    table = (f"{at:0{_WIDTH - 1}}\n".encode() for at in places.values())
    return b"".join([*table, *parts])


def line_of(text: bytes, index: int) -> dict[str, Any]:
    """What a manifest has for an index.

    Raises:
        ValueError: nothing, or the manifest is damaged.
    """
    place = int(text[index * _WIDTH : (index + 1) * _WIDTH])
    if place == _NONE:
        raise ValueError(f"the manifest has no line for index {index}")
    return dict(json.loads(text[place : text.index(b"\n", place)]))
