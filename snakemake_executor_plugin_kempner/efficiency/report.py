"""Resource use of a run's jobs, as a table for people and as CSV for programs."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..phrases import short_path
from ..run.ledger import read_ledger
from ..slurm.client import Slurm
from ..spreadsheet import as_csv, cell, rounded
from .advice import advice
from .groups import Group, grouped
from .jobs import JobUse, RunUse, run_use

WIDTH = 120
"""Least width of the table; a wider terminal is used fully."""
_COLUMNS: dict[str, Callable[[Group], str]] = {
    "rule": lambda group: group.rule,
    "attempt": lambda group: str(group.attempt) if group.has_others else "",
    "jobs": lambda group: str(len(group.jobs)),
    "ended": lambda group: group.ends,
    "median time": lambda group: group.time,
    "CPU of cores": lambda group: group.cpu,
    "peak memory": lambda group: group.memory,
    "GPUs": lambda group: group.gpu,
}
_NUMBERS, _WORDS = ("attempt", "jobs"), ("rule", "ended")

CELLS: dict[str, Callable[[JobUse], object]] = {
    "task": lambda job: cell(job.label),
    "rule": lambda job: cell(job.rule),
    "attempt": lambda job: job.attempt,
    "job_id": lambda job: job.job_id,
    "state": lambda job: cell(job.state),
    "node": lambda job: cell(job.node),
    "elapsed_s": lambda job: rounded(job.elapsed_s),
    "limit_s": lambda job: job.limit_s,
    "cores": lambda job: job.cores,
    "cpu_s": lambda job: rounded(job.cpu_s),
    "cpu_efficiency": lambda job: rounded(job.cpu_efficiency),
    "peak_memory_mb": lambda job: job.peak_memory_mb,
    "memory_mb": lambda job: job.memory_mb,
    "memory_efficiency": lambda job: rounded(job.memory_efficiency),
    "gpus": lambda job: job.gpus,
    "gpu_utilisation": lambda job: rounded(job.gpu_utilisation),
    "segment": lambda job: job.segment or None,
}


def use_message(use: RunUse, width: int = WIDTH) -> str:
    """A table by rule, notes on missing values, and suggestions."""
    groups = grouped(use.jobs)
    lines = [f"What the jobs of run {use.run} used:", *_table(groups, width)] if groups else []
    lines += [f"  {line}" for line in missing(use)]
    if said := list(advice(groups)):
        lines += ["", *said]
    return "\n".join(lines)


def columns(groups: Iterable[Group]) -> dict[str, list[str]]:
    """The cells of each column of the table; columns without a word are left out."""
    groups = tuple(groups)
    cells = {name: [words(group) for group in groups] for name, words in _COLUMNS.items()}
    return {name: of_column for name, of_column in cells.items() if any(of_column)}


def _table(groups: Iterable[Group], width: int) -> Iterator[str]:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only here
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    shown = columns(groups)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in shown:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=name not in _WORDS)
    for cells in zip(*shown.values(), strict=True):
        table.add_row(*cells)
    console = Console(width=width, no_color=True, highlight=False, markup=False, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    yield from (line.rstrip() for line in capture.get().splitlines())


def missing(use: RunUse) -> Iterator[str]:
    if not use.jobs:
        yield f"No job of run {use.run} has ended yet."
    if use.open:
        yield f"{_jobs(use.open)} not ended, and {'is' if use.open == 1 else 'are'} not counted."
    if use.lost:
        yield f"{_jobs(use.lost)} started, and neither Slurm nor a record tells how {'it' if use.lost == 1 else 'they'} ended."
    if use.jobs and not any(job.is_peak_whole for job in use.jobs):
        yield "Peak memory is that of each job's largest process: Slurm has no account of all of them together."
    if any(job.gpus for job in use.jobs) and all(job.gpu_utilisation is None for job in use.jobs):
        yield "Slurm has no account of how much the GPUs were used."


def _jobs(number: int) -> str:
    return f"{number} {'job has' if number == 1 else 'jobs have'}"


def report_at_end(folder: Path, slurm: Slurm, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Print the resource use of the run's jobs, and write `efficiency.csv` into the run's folder.

    Errors here are warnings: they must not change the outcome of the run.
    """
    try:
        use = run_use(read_ledger(folder), slurm, warn)
        table = folder / "efficiency.csv"
        table.write_text(as_csv(CELLS, use.jobs), encoding="utf-8", errors="surrogateescape")
        say(f"{use_message(use)}\n\nEach job by itself: {short_path(table)}")
    except Exception as error:  # noqa: BLE001 - see above
        warn(f"What the jobs used cannot be reported: {error}")
