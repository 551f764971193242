"""Messages, and JSON by the half of Python's `json` that is written in C: importing all of it costs as much as a job."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """As `printable.printable`, which is not at hand in a light job."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _Strict:
    """What the scanner asks for, as `json.JSONDecoder` has it."""

    strict, object_hook, object_pairs_hook, memo = True, None, None, None
    parse_float, parse_int, parse_constant = float, int, float


def loads(text: str) -> Any:
    try:
        from _json import make_scanner

        return make_scanner(_Strict)(text.strip(), 0)[0]  # type: ignore[arg-type]
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)
    except StopIteration:
        raise ValueError("not JSON") from None


def dumps(value: Any) -> str:
    """The text that `json.dumps` gives for texts, numbers, lists and dictionaries of texts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dumps(name)}: {dumps(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(dumps, value)) + "]"
    if isinstance(value, str):
        try:
            from _json import encode_basestring_ascii
        except ImportError:
            from json.encoder import encode_basestring_ascii
        return str(encode_basestring_ascii(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
