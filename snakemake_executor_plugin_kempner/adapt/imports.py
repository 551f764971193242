"""What a job's Snakemake does not import: half of its start, and on a network file system hundreds of files less to look for.

Each is left out only where the installed Snakemake uses it as known here; else it is imported as ever.
"""

import builtins
import gc
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, ClassVar, NamedTuple, Self

_DATABASE = re.compile(r"\b(?:from|import) (?:sqlalchemy|sqlmodel)\b.*|\bmodel_\w+|\bsqlmodel_\w+")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_KNOWN_USES = {
    "from sqlalchemy import Column, JSON",
    "from sqlmodel import SQLModel, Field",
    "model_dump",
    "model_validate",
}
_READERS = ("pandas", "numpy", "polars")
_STORING = (
    *(*_READERS, "ModuleNotFoundError", "DataFrame", "Series", "ndarray", "LazyFrame"),
    *("to_dict", "tolist", "collect", "name", "to_list", "isinstance", "enumerate", "list", "dict"),
    *("Params", "_params_store", "_params_types", "_take_names", "_get_names"),
)
"""Names that Snakemake uses to find parameters that are tables or arrays, for a script."""
_OF_PARAMS = "io_"
"""Older versions have `Params` in a module of this name."""
_RECORDING = (
    *("pandas", "DataFrame", "Series", "Index", "util", "hash_pandas_object", "tolist", "repr", "isinstance"),
    "_serialize_param_builtin",
)
"""Names that it uses to record them."""


@contextmanager
def without_unused_packages(*, greedy: bool = False) -> Iterator[None]:
    """Leave out what Snakemake needs in a job for one record class (sqlmodel, sqlalchemy), or for tables that no job prints.

    A job keeps its records in files: the database backend (Snakemake 9.22 and later) has one writer, the head. What a
    Snakefile imports itself is not affected: the stand-ins are gone when the block ends.

    Args:
        greedy: the scheduler is the greedy one, which needs no solver: pulp is left out as if it were not installed.
    """
    known = _stand_ins() if _is_known(_package("snakemake")) else {}
    missing = {"tabulate": _module("tabulate", tabulate=_tabulate), **({"pulp": None} if greedy else {}), **known}
    hidden = {name: module for name, module in missing.items() if name not in sys.modules}
    modules: dict[str, Any] = sys.modules  # None: the import fails, which Snakemake expects of pulp
    modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_snakemake(*, greedy: bool) -> None:
    """Import Snakemake's command line without what a job does not use; whole, where it cannot do without."""
    collects = gc.isenabled()
    gc.disable()  # what is imported stays: the garbage collector would look through it in vain, again and again
    try:
        with without_unused_packages(greedy=greedy):
            with_plain_files()
            importlib.import_module("snakemake.cli")
    except ImportError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "snakemake"]:
            del sys.modules[name]
        importlib.import_module("snakemake.cli")
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def without_readers_of_data() -> None:
    """A script starts without nbformat, unless it is a notebook, and without pandas, numpy and polars, unless a parameter is theirs.

    Snakemake imports them to find the language of a script, and to find such parameters. Where pandas is installed, it
    imports it also to record the parameters of any rule.
    """
    script = importlib.import_module("snakemake.script")
    _replace(script, "get_language", _lazily({"nbformat"}))
    snakemake = getattr(script, "Snakemake", None)
    if _uses_only(snakemake, "_safely_store_params", _STORING):
        _replace(snakemake, "_safely_store_params", _if_loaded(set(_READERS)))
    persistence = importlib.import_module("snakemake.persistence")
    _record_without_pandas(getattr(persistence, "PersistenceBase", None) or getattr(persistence, "Persistence", None))


def _uses_only(owner: Any, name: str, known: Collection[str]) -> bool:
    """Whether a function still does what is known of it, by all names that it uses."""
    function = getattr(owner, name, None)
    return isinstance(function, FunctionType) and set(function.__code__.co_names) - {_OF_PARAMS} == set(known)


def _record_without_pandas(persistence: Any) -> None:
    """Record parameters as where pandas is not installed, as long as nothing has imported it: none can be a table."""
    if not _uses_only(persistence, "_serialize_param_pandas", _RECORDING):
        return
    whole = persistence._serialize_param_pandas  # noqa: SLF001 - has no public name

    def _serialize_param_pandas(self: Any, value: Any) -> Any:
        if "pandas" in sys.modules:
            return whole(self, value)
        return self._serialize_param_builtin(value)

    persistence._serialize_param_pandas = _serialize_param_pandas  # noqa: SLF001


def _replace(owner: Any, name: str, importer: Callable[..., Any]) -> None:
    """Let a function import by this importer; what is no plain function stays as it is."""
    function = getattr(owner, name, None)
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        own = {**function.__globals__, "__builtins__": {**vars(builtins), "__import__": importer}}
        changed = FunctionType(function.__code__, own, name, function.__defaults__, function.__closure__)
        changed.__kwdefaults__ = function.__kwdefaults__
        setattr(owner, name, changed)


def _lazily(names: Collection[str]) -> Callable[..., Any]:
    """An `__import__` that imports these modules when something of them is used."""

    def importer(name: str, *how: Any, **more: Any) -> Any:
        return Lazy(name) if name in names and name not in sys.modules else __import__(name, *how, **more)

    return importer


def _if_loaded(names: Collection[str]) -> Callable[..., Any]:
    """An `__import__` to which these modules are not installed before something else has imported them: no value can be theirs."""

    def importer(name: str, *how: Any, **more: Any) -> Any:
        if name in names and name not in sys.modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return __import__(name, *how, **more)

    return importer


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


def _tabulate(*arguments: Any, **options: Any) -> Any:
    return importlib.import_module("tabulate").tabulate(*arguments, **options)


class Lazy:
    """A module that is imported when something of it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


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
