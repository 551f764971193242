"""The live view of a watched run: below what Snakemake prints, on a terminal, until the run has ended.

It shows what `kempner status` shows, in fewer lines, and reads it in the same way. A thread looks every ten seconds, then more and more
rarely, up to two minutes, and more rarely still where looking takes long, so that neither Slurm nor the head process notices it.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import KempnerError
from .run.ledger import read_ledger
from .state.judged import run_state
from .state.overview import Overview, overview, title
from .state.shown import causes_of, table_of, text
from .state.sources import Asks, read_sources
from .state.wording import span

if TYPE_CHECKING:
    from rich.console import RenderableType

_PAUSE, _FIRST = 10.0, 1.0
_PATIENT, _SLOWEST = 15.0, 120.0
"""Two looks are this part (1/15) of the view's age apart, up to so many seconds."""
_SHARE = 30
"""Looking takes at most this part (1/30) of the time."""
_RULES, _WAITS, _CAUSES = 8, 3, 3


class LiveView:
    """The view of a run.

    Args:
        folder: of the run.
        logger: Snakemake's: what its handlers print has to stay above the view.
        slurm: the scheduler.
    """

    def __init__(self, folder: Path, logger: logging.Logger, slurm: Asks) -> None:
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.live import Live  # noqa: PLC0415

        self._folder, self._logger, self._slurm = folder, logger, slurm
        self._live = Live(
            console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty()
        )
        self._lock, self._over = threading.Lock(), threading.Event()
        self._put_back: list[Callable[[], object]] = []

    def start(self) -> None:
        """Show it from now on."""
        before = {stream for stream in (sys.stderr, sys.stdout) if stream.isatty()}
        self._live.start()
        self._live.console.show_cursor(True)  # it would stay hidden if this process is killed
        for handler in self._logger.handlers:
            if isinstance(handler, logging.StreamHandler) and (stream := handler.stream) in before:
                handler.setStream(sys.stderr)
                self._put_back.append(partial(handler.setStream, stream))
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        """Take it away; what is printed from now on stays."""
        self._over.set()
        with self._lock:
            for put_back in self._put_back:
                put_back()
            self._put_back.clear()
            self._live.stop()

    def _follow(self) -> None:
        pause, start = _FIRST, time.monotonic()
        while not self._over.wait(pause):
            began = time.monotonic()
            try:
                self._look()
            except KempnerError:  # the next look may find more
                pass
            except Exception as error:  # noqa: BLE001 - a fault of the view is none of the run
                self.stop()
                self._logger.warning(f"The live view is switched off: {error}")
                return
            now = time.monotonic()
            pause = max(_PAUSE, min((now - start) / _PATIENT, _SLOWEST), _SHARE * (now - began))

    def _look(self) -> None:
        from rich.console import Group  # noqa: PLC0415

        now = time.time()
        state = run_state(read_sources(read_ledger(self._folder), self._slurm))
        lines = Group(*shown(overview(state, now)))
        with self._lock:
            if not self._over.is_set():
                self._live.update(lines, refresh=True)


def shown(view: Overview) -> Iterator["RenderableType"]:
    """What is to be seen of a run that is being watched."""
    open_first = sorted(view.rows, key=lambda row: row.is_over)
    yield text("─" * 40, "faint")
    yield text(f"{title(view)}; {span(view.until - view.since)}", "strong")
    yield table_of(open_first[:_RULES])
    if len(view.rows) > _RULES:
        yield text(f"and {len(view.rows) - _RULES} more rules", "faint")
    if view.runs:
        yield text(f"  runs    {view.runs}")
    if view.longest:
        yield text(f"  longest {view.longest}")
    yield from (text(f"  next    {line}", "faint") for line in view.waits[:_WAITS])
    yield from causes_of(view.failures[::-1], _CAUSES)
