"""The lines of a ledger: text → objects of the right form. Pure.

A ledger may be cut off, edited, or damaged by a file system. A line that is not what this package writes is passed over
and counted; a job id in a whole line is never lost with the lines around it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..errors import LedgerError
from ..plan.dependency import DependencyType

VERSION = 1

Check = Callable[[Any], bool]
Form = Mapping[str, Check]
"""What each field of a line has to be."""

_JOB_ID = re.compile(r"[0-9]{1,20}(?:_[0-9]{1,10})?")
_MOST = 10**12
"""No number in a ledger comes near it: seconds since 1970, sizes of arrays, units of a resource."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    """A file's name, not a path that leads elsewhere; empty for none."""
    return isinstance(value, str) and "/" not in value and "\0" not in value and value not in (".", "..")


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MOST


def _count(value: Any) -> bool:
    return isinstance(value, int) and _number(value) and value >= 0


def _integer(value: Any) -> bool:
    return isinstance(value, int) and _number(value)


def _job_id(value: Any) -> bool:
    return isinstance(value, str) and _JOB_ID.fullmatch(value) is not None


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _mapping_to(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _edge(value: Any) -> bool:
    match value:
        case [str(), str(kind), bool()]:
            return kind in set(DependencyType)
    return False


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


_HEADER: Form = {
    "version": _count, "run": _text, "command": _list_of(_text), "started_in": _text, "workdir": _text, "inode": _count,
    "user": _text, "cluster": _text, "uid": _count, "keep_going": _flag, "retries_elsewhere": _flag, "kill_on_invalid_dep": _flag, "efficiency_report": _flag, "locks": _mapping_to(_number),
    "records_in_files": _flag, "time": _number, "file_time": _number, "mail": _text, "on_end": _text, "closing_options": _list_of(_text),
}  # fmt: skip
_SUBMISSION: Form = {
    "kind": _text, "task": _text, "label": _text, "attempt": _integer, "attempts": _count, "edges": _list_of(_edge),
    "spared": _flag, "options": _list_of(_text), "log": _text,
}  # fmt: skip
_MAY_HAVE: Form = {
    "index": _or_none(_count), "job_id": lambda value: value == "" or _job_id(value), "folder": _text, "time": _number,
    "members": _list_of(_text), "logs": _list_of(_text), "content": _mapping_to(_text), "units": _mapping_to(_number),
    "segments": lambda value: _count(value) and value >= 1,
}  # fmt: skip
_FORMS = {**_SUBMISSION, **_MAY_HAVE}
_OTHERS: tuple[Form, ...] = (
    {"submitted": _text, "job_id": _job_id},
    {"ended": _job_id},
    {"cancelled": _list_of(_job_id)},
    {"left_out": _list_of(_text)},
    {"refused": _text, "label": _text, "why": _text},
    {"hook": _text},
    {"closed": _flag},
    {"numbered": _count},
    {"plain_end": _flag},
)
"""Each of them is known by its first field."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """What the lines of a ledger say."""

    header: dict[str, Any]
    """Of the first line; empty when that cannot be read."""
    submissions: tuple[dict[str, Any], ...]
    """Intents, an object for each element of an array."""
    others: tuple[dict[str, Any], ...]
    """All that is written down later, in order."""
    ids: frozenset[tuple[str, str]]
    """Names and ids of jobs, of every line that tells both."""
    unread: int
    """Lines that are none of ours, or not any more."""


def parse(text: str, where: str) -> Lines:
    """The lines of a ledger.

    Raises:
        LedgerError: it says nothing at all, or has a version that this package does not know.
    """
    # Not splitlines(): a label may hold characters that it takes for the end of a line.
    objects = [_parsed(line) for line in text.split("\n") if line]
    first = objects[0] if objects else None
    header = first if first is not None and "version" in first else {}
    if not any(objects) or (header and header["version"] != VERSION):
        raise LedgerError(f"{where} has version {header.get('version')!r}; this package knows {VERSION}")
    entries = [entry for entry in objects[bool(header) :] if entry is not None]
    calls = {number: tuple(_submissions(entry)) for number, entry in enumerate(entries) if "intent" in entry}
    others = [entry for entry in entries if any(_has(entry, form) for form in _OTHERS)]
    understood = sum(map(bool, calls.values())) + len(others) + bool(header)
    return Lines(
        header={name: value for name, value in header.items() if name not in _HEADER or _HEADER[name](value)},
        submissions=tuple(chain.from_iterable(calls.values())),
        others=tuple(others),
        ids=frozenset(pair for entry in entries if (pair := _name_and_id(entry)) is not None),
        unread=len(objects) - understood,
    )


def says_anything(data: bytes) -> bool:
    """Whether some whole line of a ledger can be read."""
    return any(_parsed(line) for line in data.decode(errors="replace").split("\n")[:-1])


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _has(entry: Mapping[str, Any], form: Form) -> bool:
    by = entry.get("by", "")
    return all(name in entry and check(entry[name]) for name, check in form.items()) and _name(by)


def _submissions(call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The submissions of an intent; those that are not told in full are left out."""
    elements = call.get("array", [{}])
    # What the elements of an array have in common is checked once.
    shared = {name for name, check in _FORMS.items() if name in call and check(call[name])}
    for element in elements if _list_of(lambda value: isinstance(value, dict))(elements) else ():
        submission = {**call, **element}
        left = [name for name in submission if name in element or name not in shared]
        needed = all(name in shared or name in element for name in _SUBMISSION)
        right = all(_FORMS[name](submission[name]) for name in left if name in _FORMS)
        if needed and right and _text(submission["intent"]) and _name(submission.get("by", "")):
            yield submission


def _name_and_id(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    name, job_id = entry.get("submitted", entry.get("intent")), entry.get("job_id")
    return (name, job_id) if isinstance(name, str) and isinstance(job_id, str) and _job_id(job_id) else None
