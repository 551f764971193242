"""How this process was started.

Taken down when the plugin is imported, which Snakemake does while it reads its command line: before it changes into
`--directory`, and before it looks at any file.
"""

import atexit
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line and where and when it was given."""

    command: tuple[str, ...]
    folder: str
    time: float
    """Seconds since 1970."""

    @property
    def is_command_line(self) -> bool:
        """Snakemake was started by its command, so that a job can give the same command again."""
        program = os.path.basename(self.command[0]) if self.command else ""
        return program == "snakemake" or self.command[0].endswith(os.path.join("snakemake", "__main__.py"))


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody has removed it; Snakemake will say so
        return os.sep


_THIS = Invocation(tuple(sys.argv), _here(), time.time())


def started() -> Invocation:
    """How this process was started."""
    return _THIS


@cache
def versions() -> Mapping[str, str]:
    """Versions of what plans a run. Looked up once: each look reads all that a package says of itself."""
    packages = {"plugin": "snakemake-executor-plugin-kempner", "Snakemake": "snakemake"}
    found = {}
    for name, package in packages.items():
        with suppress(PackageNotFoundError):
            found[name] = version(package)
    return MappingProxyType({**found, "Python": ".".join(map(str, sys.version_info[:3]))})


@dataclass(frozen=True, kw_only=True, slots=True)
class Continued:
    """The run that this process goes on with, as one of the run's own jobs."""

    folder: Path
    is_closing: bool
    """The closing job, which reports the end; a continuation only submits what follows."""
    had_succeeded: Callable[[str], bool] = lambda _task: False
    """Whether the task of a key had succeeded before this process looked at any file. What it reads in the files of one
    that ends later may be out of date."""
    check: Callable[[], None] = lambda: None
    """Raises an error when another process has taken over from this."""


class Leaving(SystemExit):
    """The process ends here and the run goes on without it."""


class StartingOver(SystemExit):
    """This process gives its own command once more, when all that it holds has been given back.

    Raises:
        ValueError: it was not started by a `snakemake` command, or has started over before.
    """

    def __init__(self) -> None:
        if not _THIS.is_command_line or _AGAIN in os.environ:
            raise ValueError("this process cannot give its command once more")
        _again.append(_THIS)
        super().__init__(0)


_AGAIN = "KEMPNER_STARTED_OVER"
"""In the environment of a process that has started over: the clocks of two machines may differ for long."""
_again: list[Invocation] = []


def _start_over() -> None:
    for this in _again:
        os.chdir(this.folder)
        os.execve(  # noqa: S606 - no shell is wanted
            sys.executable, [sys.executable, "-m", "snakemake", *this.command[1:]], {**os.environ, _AGAIN: "1"}
        )


atexit.register(_start_over)  # first of all that is registered, so that it runs last
