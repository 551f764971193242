"""The first table of README.md: one figure of each benchmark, beside one another. Nothing is measured."""

from collections.abc import Callable, Sequence
from statistics import median

import showing
import watching
from contestants import TITLES
from results import Results, Run, by_contestant, groups

SHOWN = ("handwritten", "kempner", "kempner-full", "slurm")
BUSY = 60
"""Seconds that a task of the busy run takes, of those whose queries are counted."""


def table() -> str:
    """A row for each thing that somebody pays or waits for, and a column for each contestant."""
    rows = [["median", *(TITLES[name] for name in SHOWN)]]
    for (title, pace), runs in groups(Results.read("makespan").runs, "shape", "scheduling").items():
        if pace == "default":
            rows.append(_row(f"{title}: seconds until the last output", runs, lambda run: run["makespan"], 1))
    jobs = Results.read("jobs").runs
    rows.append(_row("CPU seconds of a job of a `shell:` rule", jobs, lambda run: run["job_cpu"] / run["tasks"], 3))
    for (tasks, retries), runs in groups(Results.read("queueing").runs, "tasks", "retries").items():
        if retries:
            title = f"{tasks} tasks, half of them with `retries: {retries}`: calls of `sbatch`"
            rows.append(_row(title, runs, lambda run: run["calls"]["sbatch"], 0))
    busy = [run for run in Results.read("watching").runs if run["every"] == BUSY]
    rows.append(_row("queries to Slurm in the first hour of a busy run", busy, watching.per_hour, 0))
    return showing.table([row for row in rows if any(row[1:])])


def _row(title: str, runs: Sequence[Run], figure: Callable[[Run], float], digits: int) -> list[str]:
    known = by_contestant(runs)
    return [title, *(f"{median(map(figure, known[name])):.{digits}f}" if name in known else "" for name in SHOWN)]
