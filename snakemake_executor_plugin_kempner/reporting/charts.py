"""Charts of a run as values for Vega-Lite: a timeline, resources over time, the critical path. Pure.

Text of users stands in data only, never in an expression.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..notation import time_for_people
from ..printable import printable
from ..state.model import State
from .attempts import AttemptRow
from .colours import COLOURS
from .look import MOMENT, QUEUED, WAITS, Chart, chart, colour_of, milliseconds, time_axis
from .over_time import Curve, in_use, waiting

MOST_BARS = 200
"""A timeline of more attempts shows the rules."""
MOST_STEPS = 60
"""Steps of the critical path that are drawn; the last ones."""
_CORES, _GPUS, _WORK = "#4c6ef5", "#f76707", COLOURS[State.RUNNING]
_LABELS = {"title": None, "labelLimit": 280, "ticks": False, "domain": False, "labelPadding": 8}


def timeline(rows: Sequence[AttemptRow], now: float) -> Chart:
    """A bar for each attempt, or, in a large run, a curve for each rule."""
    shown = [row for row in rows if row.start is not None or row.state.is_open]
    if not shown:
        return {}
    return _bars(shown, now) if len(shown) <= MOST_BARS else _by_rule(shown, now)


def path_chart(path: Sequence[AttemptRow], now: float) -> Chart:
    """The critical path, as a timeline."""
    return _bars(path[-MOST_STEPS:], now) if path else {}


def resources(rows: Sequence[AttemptRow], now: float) -> Chart:
    """Cores and GPUs in use over time, each with an axis of its own."""
    curves = {"cores in use": (in_use(rows, now, lambda row: row.cores), _CORES)}
    curves["GPUs in use"] = (in_use(rows, now, lambda row: row.gpus), _GPUS)
    drawn = [_area(name, curve, colour) for name, (curve, colour) in curves.items() if curve]
    if not drawn:
        return {}
    return chart(vconcat=drawn, spacing=14, resolve={"scale": {"x": "shared"}})


# --- parts ----------------------------------------------------------------------------------------------------------


def _bars(rows: Sequence[AttemptRow], now: float) -> Chart:
    has_retries = any(row.attempt > 1 for row in rows)
    pieces = [piece for row in _by_start(rows) for piece in _pieces(row, now, has_retries=has_retries)]
    if not pieces:
        return {}
    y = {"field": "task", "type": "nominal", "sort": None, "axis": _LABELS}
    when = time_axis([piece["from"] for piece in pieces] + [piece["to"] for piece in pieces])
    bar = {
        "mark": {"type": "bar", "cornerRadius": 2, "minBandSize": 2},
        "encoding": {
            "x": {"field": "from", **when}, "x2": {"field": "to"}, "y": y,
            "color": colour_of("phase", (piece["phase"] for piece in pieces)),
            "tooltip": [
                *({"field": name, "type": "nominal"} for name in ("task", "phase", "for", "job", "node", "requeues")),
                *({"field": name, "type": "temporal", "format": MOMENT} for name in ("from", "to")),
            ],
        },
    }  # fmt: skip
    again = {
        "transform": [{"filter": "datum.mark != ''"}],
        "mark": {"type": "text", "align": "left", "dx": 4, "color": "white", "fontSize": 11, "fontWeight": "bold"},
        "encoding": {"x": {"field": "from", **when}, "y": y, "text": {"field": "mark", "type": "nominal"}},
    }
    return chart(
        width="container",
        height=20 * len({piece["task"] for piece in pieces}),
        data={"values": pieces},
        layer=[bar, again],
    )


def _by_start(rows: Iterable[AttemptRow]) -> list[AttemptRow]:
    return sorted(rows, key=lambda row: row.start or row.eligible or row.submit or 0.0)


def _pieces(row: AttemptRow, now: float, *, has_retries: bool) -> Iterator[dict[str, Any]]:
    """The parts of an attempt's bar: waits for tasks, waits in the queue, runs."""
    name = printable(f"{row.label}, {row.turn}" if has_retries and row.attempt > 1 else row.label)
    spans = [
        (WAITS, row.submit, row.eligible or row.start or now),
        (QUEUED, row.eligible, row.start or now),
        (row.state.value, row.start, row.end or now),
    ]
    for phase, start, end in spans:
        if start is not None and (end > start or phase == row.state.value):
            runs = phase == row.state.value and row.start is not None
            yield {
                "task": name, "phase": phase, "from": milliseconds(start), "to": milliseconds(max(end, start)),
                "for": time_for_people(end - start), "job": row.job_id, "node": printable(row.node), "requeues": row.requeues,
                "mark": f"requeued {row.requeues}×" if row.requeues and runs else "",
            }  # fmt: skip


def _by_rule(rows: Sequence[AttemptRow], now: float) -> Chart:
    """A curve for each rule: how many of its tasks ran, before how many of them waited, on a scale of its own."""
    rules: dict[str, list[AttemptRow]] = {}
    for row in rows:
        rules.setdefault(row.rule, []).append(row)
    values = [
        {"rule": printable(f"{rule} ({len(members):,})"), "place": place, **point}
        for place, (rule, members) in enumerate(rules.items())
        for point in _points(members, now)
    ]
    rule = {
        "field": "rule", "type": "nominal", "sort": {"field": "place", "op": "min"},
        "header": {
            "title": None, "labelAngle": 0, "labelAlign": "left", "labelLimit": 180, "labelOrient": "left",
            "labelColor": "#343a40",
        },
    }  # fmt: skip
    when = time_axis([value["time"] for value in values if "time" in value])
    layers = [_curve(QUEUED, 0.35, when), _curve("running", 0.8, when), _failures(when), _most()]
    return chart(
        data={"values": values},
        facet={"row": rule},
        spec={"width": "page", "height": 46, "layer": layers, "resolve": {"scale": {"y": "independent"}}},
        resolve={"scale": {"y": "independent"}, "axis": {"x": "shared"}},
        spacing=20,
    )


def _points(rows: Sequence[AttemptRow], now: float) -> Iterator[dict[str, Any]]:
    curves = {QUEUED: waiting(rows, now), "running": in_use(rows, now, lambda _row: 1)}
    for kind, points in curves.items():
        yield from ({"kind": kind, "time": milliseconds(moment), "tasks": value} for moment, value in points)
    most = {kind: max((value for _, value in points), default=0) for kind, points in curves.items()}
    yield {"kind": "most", "said": f"at most {most['running']:,} running, {most[QUEUED]:,} waiting in the queue"}
    failed = [row for row in rows if row.state is State.FAILED and row.end is not None]
    for row in failed[:MOST_BARS]:
        yield {"kind": "failed", "time": milliseconds(row.end), "task": printable(row.label)}


def _curve(kind: str, opacity: float, when: Chart) -> Chart:
    return {
        "transform": [{"filter": f"datum.kind == '{kind}'"}],
        "mark": {"type": "area", "interpolate": "step-after", "opacity": opacity},
        "encoding": {
            "x": {"field": "time", **when},
            "y": {
                "field": "tasks", "type": "quantitative", "stack": None, "scale": {"domainMin": 0},
                "axis": {"title": None, "tickCount": 2, "tickMinStep": 1} if kind == "running" else None,
            },
            "color": {"datum": kind, "type": "nominal", "scale": {"domain": [QUEUED, "running"], "range": [COLOURS[State.WAITING], _WORK]}},
            "tooltip": [
                {"field": "rule", "type": "nominal"}, {"field": "kind", "type": "nominal"},
                {"field": "tasks", "type": "quantitative"}, {"field": "time", "type": "temporal", "format": MOMENT},
            ],
        },
    }  # fmt: skip


def _failures(when: Chart) -> Chart:
    return {
        "transform": [{"filter": "datum.kind == 'failed'"}],
        "mark": {"type": "point", "shape": "triangle-up", "filled": True, "size": 45, "color": COLOURS[State.FAILED], "opacity": 1},
        "encoding": {
            "x": {"field": "time", **when}, "y": {"value": 42},
            "tooltip": [
                {"field": "task", "type": "nominal", "title": "failed"},
                {"field": "time", "type": "temporal", "format": MOMENT},
            ],
        },
    }  # fmt: skip


def _most() -> Chart:
    return {
        "transform": [{"filter": "datum.kind == 'most'"}],
        "mark": {"type": "text", "align": "right", "baseline": "bottom", "fontSize": 10.5, "color": "#495057"},
        "encoding": {"x": {"value": "width"}, "y": {"value": -2}, "text": {"field": "said", "type": "nominal"}},
    }


def _area(name: str, curve: Curve, colour: str) -> Chart:
    values = [{"time": milliseconds(moment), name: value} for moment, value in curve]
    return {
        "width": "page",
        "height": 120,
        "data": {"values": values},
        "mark": {
            "type": "area",
            "interpolate": "step-after",
            "color": colour,
            "opacity": 0.8,
            "line": {"color": colour},
        },
        "encoding": {
            "x": {"field": "time", **time_axis([value["time"] for value in values], orient="bottom")},
            "y": {"field": name, "type": "quantitative", "axis": {"tickMinStep": 1, "tickCount": 4, "minExtent": 40}},
            "tooltip": [{"field": name}, {"field": "time", "type": "temporal", "format": MOMENT}],
        },
    }
