"""Attempts as CSV for programs, and the waiting and the hours of each rule for people."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median

from ..notation import time_for_people
from ..printable import printable
from ..spreadsheet import cell, rounded
from .attempts import AttemptRow

_HOUR = 3600

CELLS: Mapping[str, Callable[[AttemptRow], object]] = {
    "task": lambda row: cell(row.label),
    "rule": lambda row: cell(row.rule),
    "attempt": lambda row: row.turn.attempt,
    "job_id": lambda row: row.job_id,
    "state": lambda row: cell(row.word),
    "outcome": lambda row: row.state.value,
    "node": lambda row: cell(row.node),
    "submit": lambda row: _written(row.submit),
    "eligible": lambda row: _written(row.eligible),
    "start": lambda row: _written(row.start),
    "end": lambda row: _written(row.end),
    "waited_s": lambda row: rounded(row.waited_s),
    "requeues": lambda row: row.requeues,
    "partition": lambda row: cell(row.request.partition),
    "nodes": lambda row: row.request.nodes,
    "requested_cores": lambda row: row.request.cores_of_node * row.request.nodes,
    "requested_memory_mb": lambda row: row.request.memory_of_node and row.request.memory_of_node * row.request.nodes,
    "requested_gpus": lambda row: row.request.gpus,
    "limit_s": lambda row: row.use.limit_s if row.use else row.request.minutes and 60 * row.request.minutes,
    "elapsed_s": lambda row: rounded(row.use.elapsed_s if row.use else None),
    "cores": lambda row: row.use.cores if row.use else None,
    "cpu_s": lambda row: rounded(row.use.cpu_s if row.use else None),
    "cpu_efficiency": lambda row: rounded(row.use.cpu_efficiency if row.use else None),
    "peak_memory_mb": lambda row: row.use.peak_memory_mb if row.use else None,
    "memory_efficiency": lambda row: rounded(row.use.memory_efficiency if row.use else None),
    "gpus": lambda row: row.use.gpus if row.use else None,
    "gpu_utilisation": lambda row: rounded(row.use.gpu_utilisation if row.use else None),
    "log": lambda row: cell(row.log),
    "segment": lambda row: row.turn.segment if row.turn.segments > 1 else None,
}
"""Columns of the CSV: what was asked for has the names of requests, what follows `elapsed_s` was used. Times are local, in
ISO 8601."""


def waiting_lines(rows: Sequence[AttemptRow], now: float) -> Iterator[str]:
    """How long jobs waited, and their hours of cores and GPUs, as a table by rule with a last line for all."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only here
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    rules: dict[str, list[AttemptRow]] = {}
    for row in rows:
        if row.start is not None:
            rules.setdefault(row.rule, []).append(row)
    if not rules:
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("rule", overflow="fold")
    for name in ("jobs", "waited (median)", "longest", "core hours", "GPU hours"):
        table.add_column(name, justify="right")
    started = [row for row in rows if row.start is not None]
    for name, of_rule in (*rules.items(), *([("all", started)] if len(rules) > 1 else [])):
        waited = [row.waited_s for row in of_rule if row.waited_s is not None]
        table.add_row(
            printable(name),
            str(len(of_rule)),
            time_for_people(median(waited)) if waited else "?",
            time_for_people(max(waited)) if waited else "?",
            f"{hours(of_rule, now, lambda row: row.cores):.1f}",
            f"{gpu_hours:.1f}" if (gpu_hours := hours(of_rule, now, lambda row: row.gpus)) else "",
        )
    console = Console(width=120, no_color=True, highlight=False, markup=False, emoji=False, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    yield "Waiting in the queue (after everything before the job had ended), and hours:"
    yield from (line.rstrip() for line in capture.get().splitlines())


def hours(rows: Iterable[AttemptRow], now: float, number: Callable[[AttemptRow], int]) -> float:
    """Hours of all cores or GPUs together, so far."""
    return sum((row.elapsed_s(now) or 0.0) * number(row) for row in rows) / _HOUR


def _written(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
