"""What is written down: one JSON file per benchmark, and the options that every benchmark has."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environments
from contestants import TITLES
from head import BenchmarkError

from snakemake_executor_plugin_kempner.sandbox import SandboxError

FOLDER = Path(__file__).resolve().parent / "results"

Run = Mapping[str, Any]
"""One measurement: who, what, how long."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What one benchmark has measured so far; read again by `report.py`."""

    name: str
    folder: Path = FOLDER
    machine: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The JSON file."""
        return self.folder / f"{self.name}.json"

    def add(self, run: Run) -> None:
        """Take one more, and write all, so that a benchmark that is broken off leaves what it had."""
        self.runs.append(json.loads(json.dumps(run), parse_float=lambda text: float(f"{float(text):.6g}")))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(f"{json.dumps({'machine': self.machine, 'runs': self.runs}, indent=1)}\n")

    @classmethod
    def read(cls, name: str, folder: Path = FOLDER) -> "Results":
        """Return what was measured before; nothing where there is no file."""
        file = folder / f"{name}.json"
        return cls(name=name, folder=folder, **(json.loads(file.read_text()) if file.exists() else {}))


def groups(runs: Sequence[Run], *keys: str) -> dict[tuple[Any, ...], list[Run]]:
    """Return the runs by these values of theirs, in the order in which they first appear."""
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(run[key] for key in keys), []).append(run)
    return found


def by_contestant(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return contestant → its runs, in the order of the list of contestants."""
    found = groups(runs, "contestant")
    return {name: found[(name,)] for name in TITLES if (name,) in found}


def options(about: str, *, repeats: int, only: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser with what all benchmarks have in common."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--repeats", type=at_least_one, default=repeats, help="runs of each (default: %(default)s)")
    add("--only", nargs="+", choices=only, default=list(only), help="who takes part (default: all)")
    add("--results", type=Path, default=FOLDER, help="folder for the figures (default: %(default)s)")
    return parser


def at_least_one(text: str) -> int:
    """Return the number that an option gives."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def start(name: str, arguments: argparse.Namespace) -> Results:
    """Return where to write this benchmark's figures."""
    if others := [one for one in environments.plugins_here() if one != "snakemake-executor-plugin-kempner"]:
        print(f"Note: each Snakemake of --executor kempner will also import {', '.join(others)}.", file=sys.stderr)
    return Results(name=name, folder=arguments.results)


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for the runs. It stays when something has failed: the logs are in it."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-")).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(benchmark: Callable[[], None]) -> int:
    """Run a benchmark and return the exit status."""
    try:
        benchmark()
    except (BenchmarkError, SandboxError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
