"""Notices what functions of the workflow look at while they are evaluated: files and processes.

Python's audit hooks report what opens, lists and starts something. What only asks whether a file is there, or how large it
is, is not reported; so those functions of `os` are replaced meanwhile. Params are watched from the start of the process: a
function may keep what it has read, and read it only once.
"""

import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

_HARMLESS = frozenset({
    "compile", "exec", "import", "marshal.load", "marshal.loads", "builtins.id", "code.__new__", "function.__new__",
    "object.__getattr__", "object.__setattr__", "object.__delattr__", "sys._getframe", "sys._getframemodulename",
})  # fmt: skip
"""Events that read nothing which could be different later. Any other event counts: an unknown one is doubtful."""
_UNREPORTED = ("stat", "lstat", "statvfs", "access", "readlink")
_turn = threading.RLock()
"""One thread at a time evaluates something that is watched."""
_watching: "list[Watch]" = []
_reading: "WeakValueDictionary[int, Any]" = WeakValueDictionary()
"""Rules whose params have looked at something, by `id`: two workflows of a process may have rules of the same name."""


class Watch:
    """Watches this thread while it is entered."""

    def __init__(self) -> None:
        self.noticed = False
        """Whether anything was looked at since it was entered."""

    def __enter__(self) -> Self:
        _install_hook()
        _turn.acquire()
        self.noticed, self._thread = False, threading.get_ident()
        self._kept = {} if _watching else {name: getattr(os, name) for name in _UNREPORTED}
        _watching.append(self)
        for name, function in self._kept.items():
            setattr(os, name, _noticing(function))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, function in self._kept.items():
            setattr(os, name, function)
        _watching.remove(self)
        _turn.release()

    def notice(self) -> None:
        if threading.get_ident() == self._thread:
            self.noticed = True


def watch_params() -> None:
    """Notice from now on, in this process, which rules have params that look at something."""
    from snakemake.rules import Rule  # noqa: PLC0415 - not needed where nothing is read

    expand = Rule.expand_params
    if hasattr(expand, "is_watched"):
        return

    def watched(self: Any, *args: Any, **options: Any) -> Any:
        with Watch() as watch:
            found = expand(self, *args, **options)
        if watch.noticed:
            _reading[id(self)] = self
        return found

    watched.is_watched = True  # type: ignore[attr-defined]
    Rule.expand_params = watched


def reads_for_params(rule: Any) -> bool:
    """Whether params of the rule have looked at something since they are watched."""
    return _reading.get(id(rule)) is rule


def _notice() -> None:
    for watch in _watching:
        watch.notice()


def _noticing(function: Callable[..., Any]) -> Callable[..., Any]:
    def looks(*args: Any, **options: Any) -> Any:
        _notice()
        return function(*args, **options)

    return looks


@cache
def _install_hook() -> None:
    """Once for the process: Python has no way to remove it."""

    def hear(event: str, _args: tuple[Any, ...]) -> None:
        if _watching and event not in _HARMLESS:
            _notice()

    sys.addaudithook(hear)
