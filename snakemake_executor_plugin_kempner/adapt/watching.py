"""Notices what a function of the workflow looks at while it is evaluated: files and processes.

Python's audit hooks report what opens, lists and starts something. What only asks whether a file is there, or how large it
is, is not reported; so those functions of `os` are replaced meanwhile.
"""

import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Any, Self

_HARMLESS = frozenset({
    "compile", "exec", "import", "marshal.load", "marshal.loads", "builtins.id", "code.__new__", "function.__new__",
    "object.__getattr__", "object.__setattr__", "object.__delattr__", "sys._getframe", "sys._getframemodulename",
})  # fmt: skip
"""Events that read nothing which could be different later. Any other event counts: an unknown one is doubtful."""
_UNREPORTED = ("stat", "lstat", "access", "readlink")
_watching: "list[Watch]" = []


class Watch:
    """While it is entered, this thread is watched. It may be entered again and again, but not inside itself."""

    def __init__(self) -> None:
        self.noticed = False
        """Whether anything was looked at since it was entered."""
        self._thread = 0

    def __enter__(self) -> Self:
        _install_hook()
        self.noticed, self._thread = False, threading.get_ident()
        self._kept = {name: getattr(os, name) for name in _UNREPORTED}
        for name, function in self._kept.items():
            setattr(os, name, self._noticing(function))
        _watching.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _watching.remove(self)
        for name, function in self._kept.items():
            setattr(os, name, function)

    def notice(self) -> None:
        if threading.get_ident() == self._thread:
            self.noticed = True

    def _noticing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def looks(*args: Any, **options: Any) -> Any:
            self.notice()
            return function(*args, **options)

        return looks


@cache
def _install_hook() -> None:
    """Once for the process: Python has no way to remove it."""

    def hear(event: str, _args: tuple[Any, ...]) -> None:
        if _watching and event not in _HARMLESS:
            _watching[-1].notice()

    sys.addaudithook(hear)
