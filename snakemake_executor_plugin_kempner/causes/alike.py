"""Failures with the same cause, and the names of many tasks in few words. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from ..notation import ranges

_DIFFERS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?|(?<=[\s\"'(])/[^\s\"':]+")
"""What differs between equal failures: numbers, addresses, paths."""
_VALUES = 6
"""How many values a name lists."""
_LABELS = 4
_SHORTEST = 12
"""Characters that a shared beginning must have to be shown for a cause."""


def alike(causes: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Causes that are the same up to numbers and paths: the text that they share → whose they are.

    Args:
        causes: by task; those without a text stay alone.
    """
    groups: dict[str, list[str]] = {}
    for task, cause in causes.items():
        groups.setdefault(_DIFFERS.sub("#", cause) or f"\0{task}", []).append(task)
    shared: dict[str, tuple[str, ...]] = {}
    for tasks in groups.values():
        text = _common([causes[task] for task in tasks])
        shared[text] = (*shared.get(text, ()), *tasks)
    return shared


def _common(texts: Sequence[str]) -> str:
    if len(set(texts)) == 1:
        return texts[0]
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*texts, strict=False))
    start = "".join(characters[0] for characters in alike).rstrip("-+.0123456789").rstrip()
    return f"{start} …" if len(start) >= _SHORTEST else f"{texts[0]} …"


def names(labels: Iterable[str]) -> str:
    """`train[lr=0.1,seed=0-2], report`: tasks whose names differ in a single wildcard stand together."""
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[str, ...]]] = {}
    for label in dict.fromkeys(labels):
        rule, wildcards = _taken_apart(label)
        groups.setdefault((rule, tuple(wildcards)), []).append(tuple(wildcards.values()))
    shown = [text for (rule, keys), rows in groups.items() for text in _of_rule(rule, keys, rows)]
    more = f" and {len(shown) - _LABELS} more" if len(shown) > _LABELS else ""
    return ", ".join(shown[:_LABELS]) + more


def _taken_apart(label: str) -> tuple[str, dict[str, str]]:
    rule, bracket, inside = label.partition("[")
    if not bracket or not label.endswith("]"):
        return label, {}
    pairs = (part.partition("=") for part in re.split(r",(?=\w+=)", inside[:-1]))
    return rule, {name: value for name, _, value in pairs}


def _of_rule(rule: str, keys: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    differing = [place for place in range(len(keys)) if len({row[place] for row in rows}) > 1]
    if len(differing) > 1:  # those that share all but the last that differs
        last = differing[-1]
        parts: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for row in rows:
            parts.setdefault((*row[:last], *row[last + 1 :]), []).append(row)
        return [text for part in parts.values() for text in _of_rule(rule, keys, part)]
    values = [
        _values([row[place] for row in rows]) if place in differing else rows[0][place] for place in range(len(keys))
    ]
    inside = ",".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
    return [f"{rule}[{inside}]" if inside else rule]


def _values(values: Sequence[str]) -> str:
    """`0-2,5`; of words some."""
    if all(re.fullmatch(r"0|[1-9]\d{0,9}", value) for value in values):
        return ranges(sorted(map(int, values)))
    more = f" and {len(values) - _VALUES} more" if len(values) > _VALUES else ""
    return "|".join(values[:_VALUES]) + more
