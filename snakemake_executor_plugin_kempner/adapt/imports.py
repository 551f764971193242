"""What a job's Snakemake does not import: half of its start, and on a network file system hundreds of files less to look for.

Each is left out only where the installed Snakemake uses it as known here; else it is imported as ever.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Self

from snakemake_interface_common.plugin_registry import PluginRegistryBase
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_report_plugins.registry import ReportPluginRegistry

_DATABASE = re.compile(r"\b(?:from|import) (?:sqlalchemy|sqlmodel)\b.*|\bmodel_\w+|\bsqlmodel_\w+")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_KNOWN_USES = {
    "from sqlalchemy import Column, JSON",
    "from sqlmodel import SQLModel, Field",
    "model_dump",
    "model_validate",
}


def without_plugins() -> None:
    """Leave out report and executor plugins, which Snakemake imports for their command line options.

    Its own executors stay: they run the rule.
    """
    collect_installed = PluginRegistryBase.collect_plugins

    def none(self: Any) -> None:
        self.plugins = {}

    def no_executors(self: Any) -> None:
        (none if isinstance(self, ExecutorPluginRegistry) else collect_installed)(self)

    PluginRegistryBase.collect_plugins = no_executors
    ReportPluginRegistry.collect_plugins = none


@contextmanager
def without_unused_packages() -> Iterator[None]:
    """Leave out what Snakemake needs in a job for one record class (sqlmodel, sqlalchemy) or for wide characters in tables.

    A job keeps its records in files: the database backend (Snakemake 9.22 and later) has one writer, the head. What a
    Snakefile imports itself is not affected: the stand-ins are gone when the block ends.
    """
    missing = {"wcwidth": None, **(_stand_ins() if _is_known(_package("snakemake")) else {})}
    hidden = {name: module for name, module in missing.items() if name not in sys.modules}
    modules: dict[str, Any] = sys.modules  # None: the import fails, which tabulate expects
    modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def with_plain_files() -> None:
    """Read local sources without smart_open, which brings an HTTP client; what may be a URL is read as ever.

    To be called before anything of Snakemake is imported.
    """
    common = importlib.import_module("snakemake.common")
    if (read := getattr(common, "parse_uri", None)) is None:
        return

    def parse_uri(path: Any) -> Any:
        return Uri("file", path) if _is_plain(path) else read(path)

    common.parse_uri = parse_uri  # type: ignore[attr-defined]
    cache = importlib.import_module("snakemake.sourcecache")
    whole = cache.SourceCache._open  # noqa: SLF001 - has no public name

    def _open(self: Any, source_file: Any, mode: str = "r", encoding: str | None = None, **more: Any) -> Any:
        path = str(source_file.get_path_or_uri(secret_free=False)) if type(source_file) is cache.LocalSourceFile else ""
        if _is_plain(path) and not path.endswith(_COMPRESSED) and not more:
            with suppress(OSError):  # what cannot be opened is told as ever
                return open(path, mode, encoding=None if "b" in mode else encoding)
        return whole(self, source_file, mode, encoding=encoding, **more)

    cache.SourceCache._open = _open  # noqa: SLF001


def _is_plain(path: Any) -> bool:
    return type(path) is str and path.startswith("/") and "://" not in path


class Uri(NamedTuple):
    """What `smart_open.parse_uri` says of a file."""

    scheme: str
    uri_path: str


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _is_known(snakemake: Path | None) -> bool:
    """Whether Snakemake uses the database packages outside its database backend as `_stand_ins` does."""
    if snakemake is None:
        return False
    try:
        texts = [(snakemake / "persistence" / name).read_text(encoding="utf-8") for name in ("__init__.py", "file.py")]
    except OSError:
        return False
    return {use for text in texts for use in _DATABASE.findall(text)} == _KNOWN_USES


def _stand_ins() -> Mapping[str, ModuleType]:
    return {
        "sqlalchemy": _module("sqlalchemy", Column=_nothing, JSON=None),
        "sqlmodel": _module("sqlmodel", SQLModel=RecordModel, Field=Default),
        "snakemake.persistence.db": _module("snakemake.persistence.db", DbPersistence=None),
    }


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


def _nothing(*_args: Any, **_options: Any) -> None: ...


class Default:
    """The default value of a field, as sqlmodel's `Field`."""

    def __init__(self, default: Any = None, *, default_factory: Any = None, **_of_column: Any) -> None:
        self.make = default_factory or (lambda: default)


class RecordModel:
    """What Snakemake's record class uses of sqlmodel's `SQLModel`: values by name, in the order of their declaration."""

    _defaults: ClassVar[Mapping[str, Default]] = {}

    def __init_subclass__(cls) -> None:
        declared = {name: cls.__dict__.get(name) for name in cls.__annotations__}
        own = {name: value if isinstance(value, Default) else Default(value) for name, value in declared.items()}
        cls._defaults = {**cls._defaults, **own}

    def __init__(self, **values: Any) -> None:
        for name, default in self._defaults.items():
            setattr(self, name, values[name] if name in values else default.make())

    @classmethod
    def model_validate(cls, values: Mapping[str, Any]) -> Self:
        """A record with these values; names that it does not have are passed over."""
        return cls(**values)

    def model_dump(self) -> dict[str, Any]:
        """All values by name."""
        return {name: getattr(self, name) for name in self._defaults}
