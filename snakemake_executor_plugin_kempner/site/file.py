"""A site file: YAML → site. All faults of a file are reported together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Any

from ..errors import Fault, PlanError
from ..notation import megabytes, minutes
from .model import Cap, Gpu, NodeShape, Partition, Site

Convert = Callable[[Any], Any]
Fields = Mapping[str, tuple[str, Convert]]
"""Key in the file → name of the attribute, and the function that reads it."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("takes a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError('takes a list of texts, like ["kempner*"]')
    return tuple(value)


def _sentences(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise ValueError("takes folders, and for each of them why")
    return value


def _count(value: Any) -> int:
    if not str(value).isdecimal():
        raise ValueError("takes a whole number")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, str) or value not in _FLAGS:
        raise ValueError("takes true or false")
    return _FLAGS[value]


_FLAGS = {"true": True, "false": False}


def _memory(value: Any) -> int:
    try:
        return round(megabytes(str(value)))
    except ValueError:
        raise ValueError('takes MB, or a text like "240G"') from None


def _time(value: Any) -> int | None:
    try:
        return minutes(str(value))
    except ValueError:
        raise ValueError('takes minutes, or a text like "2-00:00:00"') from None


_GPU: Fields = {"title": ("title", _text), "cores": ("cores", _count), "memory": ("memory_mb", _memory)}
_NODES: Fields = {
    "gpu": ("gpu", _text), "gpus": ("gpus", _count), "cores": ("cores", _count), "memory": ("memory_mb", _memory),
    "features": ("features", lambda value: frozenset(_texts(value))),
}  # fmt: skip
_PARTITION: Fields = {
    "runtime": ("minutes", _time), "only_gpu": ("only_gpu", _flag), "only_alone": ("only_alone", _flag),
    "only_by_name": ("only_by_name", _flag), "requeues": ("requeues", _flag), "signal": ("signal", _text), "accounts": ("accounts", _texts), "denied": ("denied", _texts),
    "nodes": ("nodes", lambda value: value),
}  # fmt: skip
_CAP: Fields = {
    "partitions": ("partitions", _texts), "accounts": ("accounts", _texts), "gpus": ("gpus", _count), "whose": ("whose", _text),
}  # fmt: skip
_SITE: Fields = {
    "name": ("name", _text), "applies_to": ("applies_to", _texts), "cpu_partition": ("cpu_partition", _text), "needs_account": ("needs_account", _flag),
    "folders": ("folders", _sentences),
}  # fmt: skip
_TABLES = ("gpus", "partitions", "caps")
_LARGEST = 200_000
"""Most characters of a site file, and most values after the expansion of aliases: a few lines of nested aliases can
expand to more than any memory can hold."""
_LONGEST = 100
"""Most characters of a value in a message."""


def packaged() -> tuple[Site, tuple[str, ...]]:
    """The Kempner AI cluster, and the partition names by which it is recognised."""
    return parse_site(files(__package__).joinpath("kempner.yaml").read_text(), "kempner.yaml")


def read_site(path: Path, copy: Path | None = None) -> Site:
    """A site file of the user's own.

    Args:
        path: of the file.
        copy: read instead of the file if it exists, else written, for later processes of the run when the file is gone.

    Raises:
        PlanError: the file cannot be read or has faults; lists all of them.
    """
    try:
        with (copy if copy and copy.exists() else path).open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
        if copy and not copy.exists():
            copy.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError([Fault(where=f"--kempner-site {path}", what=f"cannot be read: {error}")]) from None
    if len(text) > _LARGEST:
        raise PlanError([Fault(where=f"--kempner-site {path}", what=f"has more than {_LARGEST} characters")])
    return parse_site(text, str(path))[0]


def applies(patterns: tuple[str, ...], partitions: Mapping[str, Partition]) -> bool:
    """Whether a site file applies to a cluster with these partitions."""
    return any(fnmatchcase(name, pattern) for name in partitions for pattern in patterns)


def parse_site(text: str, where: str) -> tuple[Site, tuple[str, ...]]:
    """The site that a text describes, and the patterns of partition names by which it is recognised.

    Raises:
        PlanError: the text has faults; lists all of them.
    """
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only where a file is read

    try:
        # All values as texts: YAML would read 12:00:00 as 43200.
        content = yaml.load(text, Loader=yaml.BaseLoader) or {}  # noqa: S506 - makes nothing but texts
        size = _size(content, {})
    except (yaml.YAMLError, ValueError) as error:
        raise PlanError([Fault(where=where, what=f"is not YAML: {' '.join(str(error).split())}")]) from None
    except RecursionError:
        raise PlanError([Fault(where=where, what="is nested too deeply")]) from None
    if size > _LARGEST:
        what, remedy = f"has more than {_LARGEST} values, counting what aliases (*name) stand for", "write them out"
        raise PlanError([Fault(where=where, what=what, remedy=remedy)])
    if not isinstance(content, dict):
        raise PlanError([Fault(where=where, what="takes keys and values, such as 'partitions:'")])
    reader = _Reader(where)
    found = reader.site(content), reader.values(content, _SITE, "", _TABLES).get("applies_to", ())
    if reader.faults:
        raise PlanError(reader.faults)
    return found


def _size(value: Any, known: dict[int, float]) -> float:
    """The number of values, counting aliased values each time; infinite for a value that contains itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = inf  # stays if the value contains itself
        parts = value if isinstance(value, list) else [part for pair in value.items() for part in pair]
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class _Reader:
    """Turns tables into values and collects what is wrong with them."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.faults: list[Fault] = []

    def site(self, content: Mapping[str, Any]) -> Site:
        own = self.values(content, _SITE, "", _TABLES)
        own.pop("applies_to", None)
        name = own.setdefault("name", self._where)
        gpus = {
            key: Gpu(name=key, **self.values(row, _GPU, f"gpus.{key}")) for key, row in self._tables(content, "gpus")
        }
        partitions = {key: self._partition(key, row, name) for key, row in self._tables(content, "partitions")}
        caps = [self._cap(row, f"caps[{number}]", name) for number, row in enumerate(content.get("caps") or [])]
        return Site(**own, partitions=partitions, gpus=gpus, caps=tuple(cap for cap in caps if cap))

    def values(self, table: Any, fields: Fields, path: str, others: Sequence[str] = ()) -> dict[str, Any]:
        """The values by attribute name; unknown keys and unreadable values are faults."""
        found: dict[str, Any] = {}
        for key, value in table.items() if isinstance(table, dict) else ():
            name = f"{path}.{key}" if path else key
            if key in fields:
                try:
                    found[fields[key][0]] = fields[key][1](value)
                except ValueError as error:
                    self._fault(f"{name}={_shown(value)} {error}")
            elif key not in others:
                self._fault(f"{name} is not known", f"known are {', '.join((*fields, *others))}")
        if not isinstance(table, dict):
            self._fault(f"{path} takes keys and values")
        return found

    def _tables(self, content: Mapping[str, Any], name: str) -> Iterable[tuple[str, Any]]:
        found = content.get(name) or {}
        if isinstance(found, dict):
            return found.items()
        self._fault(f"{name} takes names, and for each of them what it is")
        return ()

    def _partition(self, name: str, row: Any, source: str) -> Partition:
        found = self.values(row, _PARTITION, f"partitions.{name}")
        rows = found.pop("nodes", [])
        if not isinstance(rows, list):
            self._fault(f"partitions.{name}.nodes takes a list")
            rows = []
        shapes = [
            NodeShape(**self.values(entry, _NODES, f"partitions.{name}.nodes[{number}]"))
            for number, entry in enumerate(rows)
        ]
        nodes = tuple(replace(shape, features=shape.features | ({shape.gpu} - {""})) for shape in shapes)
        return Partition(name=name, source=source, policy=source, nodes=nodes, **found)

    def _cap(self, row: Any, path: str, source: str) -> Cap | None:
        found = self.values(row, _CAP, path)
        if missing := {"partitions", "gpus"} - found.keys():
            self._fault(f"{path} lacks {' and '.join(sorted(missing))}")
            return None
        return Cap(source=source, **found)

    def _fault(self, what: str, remedy: str = "") -> None:
        self.faults.append(Fault(where=self._where, what=what, remedy=remedy))
