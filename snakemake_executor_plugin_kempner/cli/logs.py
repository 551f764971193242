"""`kempner logs TASK`: the log that says why, or all of them by path; `-f` follows a running task."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import click

from ..phrases import short_path
from ..printable import printable, without_colours
from ..state.explanation import explanation
from ..state.model import State, TaskState
from .output import console, print_json, text
from .places import FAILED, Place, chosen

_LINES = 60
_MOST = 5
"""Tasks whose logs are shown at once."""
_PAUSE = 1.0
_ASKS = 15
"""After so many looks at a log, Slurm is asked whether its task still runs."""


def logs(place: Place, run: str, words: tuple[str, ...], *, follow: bool, paths: bool, as_json: bool) -> None:
    """Show logs, or where they are."""
    state = place.state(run)
    tasks = chosen(state, words or (FAILED,))
    if as_json:
        print_json([{"task": task.label, "state": task.state, "logs": list(all_logs(task))} for task in tasks])
    elif paths:
        for task in tasks:
            for path in all_logs(task):
                click.echo(printable(str(path)) if sys.stdout.isatty() else os.fsencode(path))
    elif follow:
        _follow(place, run, tasks)
    else:
        _show(tasks)


def all_logs(task: TaskState) -> Iterator[Path]:
    """The logs of a task that are there: the rule's own, then those of its jobs, the last first."""
    jobs = (attempt.log for attempt in reversed(task.attempts) if attempt.job_id)
    yield from (path for path in (*task.rule_logs, *jobs) if path.exists())


def _show(tasks: tuple[TaskState, ...]) -> None:
    out = console()
    if not tasks:
        out.print(text("No task of this run has failed. Name a task: kempner logs TASK", "ok"))
    for task in tasks[:_MOST]:
        known = explanation(task) if task.state is State.FAILED else None
        path = known.log if known else next(all_logs(task), None)
        out.print(text(f"==> {task.label} ({task.state}): {short_path(path) if path else 'no log yet'}", "strong"))
        if path:
            for line in last_lines(path):
                out.print(text(line))
    if len(tasks) > _MOST:
        out.print(text(f"and {len(tasks) - _MOST} more tasks: name some, or list the files with --path", "faint"))


def last_lines(path: Path) -> list[str]:
    """The end of a log, harmless for a terminal."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * _LINES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError as error:
        return [f"(cannot be read: {error.strerror})"]
    return [without_colours(line.rstrip("\r").rpartition("\r")[2]) for line in lines if line.strip()][-_LINES:]


def _follow(place: Place, run: str, tasks: tuple[TaskState, ...]) -> None:
    """Print what a task's log gets, until the task has ended or Ctrl-C."""
    out = console()
    if len(tasks) != 1:
        out.print(text(f"-f follows a single task, and {len(tasks)} are named: be more precise.", "warning"))
        return
    (task,) = tasks
    with suppress(KeyboardInterrupt):
        place_in: dict[Path, int] = {}
        for number in count(1):
            path = next(all_logs(task), None)
            if path is not None:
                with path.open("rb") as file:
                    file.seek(place_in.get(path, max(0, path.stat().st_size - 200 * _LINES)))
                    for line in file.read().decode(errors="replace").splitlines():
                        out.print(text(without_colours(line)))
                    place_in[path] = file.tell()
            if not task.state.is_open:
                return
            time.sleep(_PAUSE)
            if number % _ASKS == 0:
                task = next((known for known in place.state(run).tasks if known.key == task.key), task)
