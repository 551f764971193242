"""What happened when: cores and GPUs in use, tasks of each rule at work, the chain of tasks that took longest. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from ..plan.task import Edge
from .attempts import AttemptRow

MOST_POINTS = 600
"""Points of a curve; more cannot be seen."""

Curve = tuple[tuple[float, int], ...]
"""Moments, each with the value that holds from then on."""


def in_use(rows: Iterable[AttemptRow], now: float, number: Callable[[AttemptRow], int]) -> Curve:
    """How many were in use at the same time, by jobs that ran."""
    spans = ((row.start, row.end or now, number(row)) for row in rows if row.start is not None)
    return curve((start, end, units) for start, end, units in spans if units)


def waiting(rows: Iterable[AttemptRow], now: float) -> Curve:
    """How many jobs waited in the queue although everything before them had ended."""
    return curve((row.eligible, row.start or row.end or now, 1) for row in rows if row.eligible is not None)


def curve(spans: Iterable[tuple[float, float, int]]) -> Curve:
    """The sum of units over time, where each span adds its own."""
    changes: dict[float, int] = {}
    for start, end, units in spans:
        if end > start:
            changes[start] = changes.get(start, 0) + units
            changes[end] = changes.get(end, 0) - units
    moments = sorted(changes)
    return _thinned(tuple(zip(moments, accumulate(changes[moment] for moment in moments), strict=True)))


def _thinned(points: Curve) -> Curve:
    """The largest value in each of so many pieces of time; the end stays."""
    if len(points) <= MOST_POINTS:
        return points
    first, last = points[0][0], points[-1][0]
    width = (last - first) / MOST_POINTS
    pieces: dict[int, int] = {}
    held = 0
    for moment, value in points:
        piece = int((moment - first) / width)
        pieces[piece] = max(pieces.get(piece, held), value)
        held = value
    return (*((first + piece * width, value) for piece, value in sorted(pieces.items())), points[-1])


def critical_path(
    rows: Sequence[AttemptRow], edges: Mapping[str, Sequence[Edge]], now: float
) -> tuple[AttemptRow, ...]:
    """The chain of attempts, each of which could start when the one before had ended, up to the last end of the run.

    Args:
        rows: of the run.
        edges: what each task waits for, by its key.
        now: seconds since 1970.
    """
    started = [row for row in rows if row.start is not None]
    by_task: dict[str, list[AttemptRow]] = {}
    for row in started:
        by_task.setdefault(row.key, []).append(row)
    current = max(started, key=lambda row: row.end or now, default=None)
    path: list[AttemptRow] = []
    while current is not None and current not in path:
        path.append(current)
        before = [row for row in by_task[current.key] if row.attempt < current.attempt]
        before += [row for edge in edges.get(current.key, ()) for row in by_task.get(edge.on, ())[-1:]]
        ended = [row for row in before if row.end is not None]
        current = max(ended, key=lambda row: row.end or 0.0, default=None)
    return tuple(reversed(path))
