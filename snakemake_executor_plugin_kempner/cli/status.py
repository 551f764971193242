"""`kempner status`: a line for the run, a row for each rule, what waits, what has failed and why."""

import gc
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..state.overview import Overview, overview, title
from ..state.shown import causes_of, table_of
from ..state.wording import moment, span
from .output import console, print_json, text
from .places import Place

if TYPE_CHECKING:
    from rich.console import RenderableType

_PAUSE = 10.0
_CAUSES = 12
"""How many causes are listed; `kempner why failed` has all."""


def status(place: Place, run: str, *, watch: bool, as_json: bool) -> None:
    """Show the state of a run, once or until it has ended."""
    if as_json:
        print_json(overview(place.state(run), time.time()))
        return
    if not watch:
        console().print(*shown(overview(place.state(run), time.time()), time.time()), sep="\n")
        return
    _watch(place, run)


def _watch(place: Place, run: str) -> None:
    from rich.console import Group  # noqa: PLC0415 - only here
    from rich.live import Live  # noqa: PLC0415

    out = console()
    with Live(console=out, auto_refresh=False, transient=False, vertical_overflow="visible") as live:
        while True:
            state = place.state(run)
            live.update(Group(*shown(overview(state, time.time()), time.time())), refresh=out.is_terminal)
            if not state.is_open or not sys.stdout.isatty():
                live.refresh()
                return
            gc.collect()
            time.sleep(_PAUSE)


def shown(view: Overview, now: float) -> Iterator["RenderableType"]:
    """An overview as lines and a table."""
    since = f"since {moment(view.since, now)} ({span(view.until - view.since)})" if view.since else ""
    yield text(f"{title(view)}", _style(view.result))
    yield text(f"  {view.command}", "faint")
    yield text("  " + "; ".join(filter(None, (since, view.whose))))
    if view.rows:
        yield text("")
        yield table_of(view.rows)
    if view.waits or view.longest:
        yield text("")
    yield from (text(f"  {line}") for line in view.waits)
    if view.longest:
        yield text(f"  longest: {view.longest}")
    if view.failures:
        yield text("")
        yield from causes_of(view.failures, _CAUSES)
    yield text("")
    yield from (text(f"  {note}", "warning") for note in view.notes)
    if view.end:
        yield text(f"  its end: {view.end}", "faint")
    if view.failures:
        yield text("  more: kempner why failed · kempner logs", "faint")


def _style(result: str) -> str:
    return "ok" if result.startswith("has succeeded") else "error" if result.startswith("has failed") else "strong"
