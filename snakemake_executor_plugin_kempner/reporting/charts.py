"""Charts of a run as values for Vega-Lite: a timeline, resources over time, the critical path, the graph. Pure.

Text of users stands in data only, never in an expression.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..export.graph import Node, by_rule
from ..notation import time_for_people
from ..printable import printable
from ..state.model import State
from .attempts import AttemptRow
from .colours import BEFORE, COLOURS
from .layers import placed
from .over_time import Curve, in_use, waiting

Chart = dict[str, Any]
MOST_BARS = 200
"""A timeline of more attempts shows the rules."""
MOST_NODES = 40
"""A graph of more tasks shows the rules."""
_PAGE = 1150
"""Width of the page, about."""
MOST_STEPS = 60
"""Steps of the critical path that are drawn; the last ones."""
_BEFORE, _QUEUED = "waits for tasks", "waits in the queue"
_PHASES: Mapping[str, str] = {
    _BEFORE: BEFORE, _QUEUED: COLOURS[State.WAITING], **{state.value: colour for state, colour in COLOURS.items()}
}  # fmt: skip
_CLOCK = (
    "seconds(datum.value) ? timeFormat(datum.value, '%H:%M:%S') : "
    "hours(datum.value) + minutes(datum.value) ? timeFormat(datum.value, '%H:%M') : timeFormat(datum.value, '%a %d %b')"
)
_AXIS = {"title": None, "labelOverlap": True, "labelSeparation": 8, "labelExpr": _CLOCK}
_TIME = {"type": "temporal", "axis": {**_AXIS, "orient": "top"}}
_MOMENT = "%a %d %b %H:%M:%S"
_CORES, _GPUS, _WORK = "#4c6ef5", "#f76707", COLOURS[State.RUNNING]
_LABELS = {"title": None, "labelLimit": 280, "ticks": False, "domain": False, "labelPadding": 8}
_CONFIG = {
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"gridColor": "#edf0f2", "domainColor": "#ced4da", "tickColor": "#ced4da", "labelColor": "#343a40"},
    "legend": {
        "orient": "bottom",
        "direction": "horizontal",
        "title": None,
        "labelColor": "#343a40",
        "symbolType": "square",
    },
}


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
    return _chart(vconcat=drawn, spacing=14, resolve={"scale": {"x": "shared"}})


def graph(nodes: Sequence[Node]) -> Chart:
    """Tasks, or rules in a large run, from left to right, in the colours of their states."""
    counts: dict[str, Counter[str]] = {}
    names = {node.key: printable(node.label) for node in nodes}
    shown: Sequence[Node] = nodes
    if len(nodes) > MOST_NODES:
        shown = by_rule(nodes)
        names = {node.key: printable(node.rule) for node in shown}
        for node in nodes:
            counts.setdefault(node.rule, Counter())[node.state] += 1
    else:
        counts = {node.key: Counter([node.state]) for node in nodes}
    places = placed({node.key: [edge.on for edge in node.edges] for node in shown})
    if not places:
        return {}
    height = 1 + max(row for _, row in places.values())
    columns = 1 + max(column for column, _ in places.values())
    boxes = [box for node in shown for box in _box(names[node.key], counts[node.key], places[node.key])]
    lines = [
        point
        for number, (on, key) in enumerate((edge.on, node.key) for node in shown for edge in node.edges)
        if on in places
        for point in _line(number, places[on], places[key])
    ]
    x = {"type": "quantitative", "axis": None, "scale": {"domain": [-0.5, columns - 0.5], "nice": False}}
    y = {
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [-0.5, height - 0.5], "nice": False, "reverse": True},
    }
    text = {
        "type": "text",
        "limit": max(150, _PAGE // columns - 20),
        "fontSize": 12,
        "color": "#212529",
        "baseline": "bottom",
        "dy": -10,
    }
    firsts = {"x": {"field": "middle", **x}, "y": {"field": "y", **y}}
    return _chart(
        width="container",
        height=max(120, 56 * round(height)),
        layer=[
            {
                "data": {"values": lines},
                "mark": {"type": "line", "interpolate": "basis", "color": "#adb5bd", "strokeWidth": 1.2, "opacity": 0.8},
                "encoding": {
                    "x": {"field": "x", **x}, "y": {"field": "y", **y},
                    "detail": {"field": "edge", "type": "nominal"}, "order": {"field": "step", "type": "quantitative"},
                },
            },
            {
                "data": {"values": boxes},
                "mark": {"type": "bar", "height": 14, "cornerRadius": 3},
                "encoding": {
                    "x": {"field": "x", **x}, "x2": {"field": "x2"}, "y": {"field": "y", **y},
                    "color": _colour("state", (box["state"] for box in boxes)),
                    "tooltip": [{"field": "name", "title": "name"}, {"field": "said", "title": "state"}],
                },
            },
            {
                "data": {"values": [box for box in boxes if box["first"]]},
                "mark": text,
                "encoding": {**firsts, "text": {"field": "name", "type": "nominal"}},
            },
            {
                "data": {"values": [box for box in boxes if box["first"]] if len(nodes) > MOST_NODES else []},
                "mark": {**text, "baseline": "top", "dy": 10, "fontSize": 10, "color": "#495057"},
                "encoding": {**firsts, "text": {"field": "said", "type": "nominal"}},
            },
        ],
    )  # fmt: skip


# --- parts ----------------------------------------------------------------------------------------------------------


def _chart(**what: Any) -> Chart:
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": _CONFIG, "background": None, **what}


def _bars(rows: Sequence[AttemptRow], now: float) -> Chart:
    has_retries = any(row.attempt > 1 for row in rows)
    pieces = [piece for row in _by_start(rows) for piece in _pieces(row, now, has_retries=has_retries)]
    if not pieces:
        return {}
    y = {"field": "task", "type": "nominal", "sort": None, "axis": _LABELS}
    bar = {
        "mark": {"type": "bar", "cornerRadius": 2, "minBandSize": 2},
        "encoding": {
            "x": {"field": "from", **_TIME}, "x2": {"field": "to"}, "y": y,
            "color": _colour("phase", (piece["phase"] for piece in pieces)),
            "tooltip": [
                *({"field": name, "type": "nominal"} for name in ("task", "phase", "for", "job", "node", "requeues")),
                *({"field": name, "type": "temporal", "format": _MOMENT} for name in ("from", "to")),
            ],
        },
    }  # fmt: skip
    again = {
        "transform": [{"filter": "datum.mark != ''"}],
        "mark": {"type": "text", "align": "left", "dx": 4, "color": "white", "fontSize": 11, "fontWeight": "bold"},
        "encoding": {"x": {"field": "from", **_TIME}, "y": y, "text": {"field": "mark", "type": "nominal"}},
    }
    return _chart(
        width="container",
        height=20 * len({piece["task"] for piece in pieces}),
        data={"values": pieces},
        layer=[bar, again],
    )


def _by_start(rows: Iterable[AttemptRow]) -> list[AttemptRow]:
    return sorted(rows, key=lambda row: row.start or row.eligible or row.submit or 0.0)


def _pieces(row: AttemptRow, now: float, *, has_retries: bool) -> Iterator[dict[str, Any]]:
    """The parts of an attempt's bar: waits for tasks, waits in the queue, runs."""
    name = printable(f"{row.label}, attempt {row.attempt}" if has_retries and row.attempt > 1 else row.label)
    spans = [
        (_BEFORE, row.submit, row.eligible or row.start or now),
        (_QUEUED, row.eligible, row.start or now),
        (row.state.value, row.start, row.end or now),
    ]
    for phase, start, end in spans:
        if start is not None and (end > start or phase == row.state.value):
            runs = phase == row.state.value and row.start is not None
            yield {
                "task": name, "phase": phase, "from": _milliseconds(start), "to": _milliseconds(max(end, start)),
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
    layers = [_curve(_QUEUED, 0.35), _curve("running", 0.8), _failures(), _most()]
    return _chart(
        data={"values": values},
        facet={"row": rule},
        spec={"width": "page", "height": 46, "layer": layers, "resolve": {"scale": {"y": "independent"}}},
        resolve={"scale": {"y": "independent"}, "axis": {"x": "shared"}},
        spacing=20,
    )


def _points(rows: Sequence[AttemptRow], now: float) -> Iterator[dict[str, Any]]:
    curves = {_QUEUED: waiting(rows, now), "running": in_use(rows, now, lambda _row: 1)}
    for kind, points in curves.items():
        yield from ({"kind": kind, "time": _milliseconds(moment), "tasks": value} for moment, value in points)
    most = {kind: max((value for _, value in points), default=0) for kind, points in curves.items()}
    yield {"kind": "most", "said": f"at most {most['running']:,} running, {most[_QUEUED]:,} waiting in the queue"}
    failed = [row for row in rows if row.state is State.FAILED and row.end is not None]
    for row in failed[:MOST_BARS]:
        yield {"kind": "failed", "time": _milliseconds(row.end), "task": printable(row.label)}


def _curve(kind: str, opacity: float) -> Chart:
    return {
        "transform": [{"filter": f"datum.kind == '{kind}'"}],
        "mark": {"type": "area", "interpolate": "step-after", "opacity": opacity},
        "encoding": {
            "x": {"field": "time", **_TIME},
            "y": {
                "field": "tasks", "type": "quantitative", "stack": None, "scale": {"domainMin": 0},
                "axis": {"title": None, "tickCount": 2, "tickMinStep": 1} if kind == "running" else None,
            },
            "color": {"datum": kind, "type": "nominal", "scale": {"domain": [_QUEUED, "running"], "range": [COLOURS[State.WAITING], _WORK]}},
            "tooltip": [
                {"field": "rule", "type": "nominal"}, {"field": "kind", "type": "nominal"},
                {"field": "tasks", "type": "quantitative"}, {"field": "time", "type": "temporal", "format": _MOMENT},
            ],
        },
    }  # fmt: skip


def _failures() -> Chart:
    return {
        "transform": [{"filter": "datum.kind == 'failed'"}],
        "mark": {"type": "point", "shape": "triangle-up", "filled": True, "size": 45, "color": COLOURS[State.FAILED], "opacity": 1},
        "encoding": {
            "x": {"field": "time", **_TIME}, "y": {"value": 42},
            "tooltip": [
                {"field": "task", "type": "nominal", "title": "failed"},
                {"field": "time", "type": "temporal", "format": _MOMENT},
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
    values = [{"time": _milliseconds(moment), name: value} for moment, value in curve]
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
            "x": {"field": "time", "type": "temporal", "axis": _AXIS},
            "y": {"field": name, "type": "quantitative", "axis": {"tickMinStep": 1, "tickCount": 4, "minExtent": 40}},
            "tooltip": [{"field": name}, {"field": "time", "type": "temporal", "format": _MOMENT}],
        },
    }


def _colour(field: str, shown: Iterable[str]) -> dict[str, Any]:
    there = set(shown)
    domain = [phase for phase in _PHASES if phase in there]
    return {
        "field": field, "type": "nominal", "scale": {"domain": domain, "range": [_PHASES[phase] for phase in domain]}
    }  # fmt: skip


def _box(name: str, states: Counter[str], place: tuple[int, float]) -> Iterator[dict[str, Any]]:
    """A node, as parts with the share of each state."""
    x, y = place
    total, left = sum(states.values()), x - 0.3
    said = ", ".join(f"{number:,} {state}" if total > 1 else state for state, number in states.most_common())
    ordered = [state for state in _PHASES if state in states]
    for number, state in enumerate(ordered):
        right = left + 0.6 * states[state] / total
        yield {
            "name": name, "state": state, "said": said, "x": left, "x2": right, "middle": x, "y": y, "first": number == 0
        }  # fmt: skip
        left = right


def _line(number: int, on: tuple[int, float], to: tuple[int, float]) -> Iterator[dict[str, float]]:
    (x, y), (x2, y2) = on, to
    middle = (x + x2) / 2
    points = ((x + 0.3, y), (middle, y), (middle, y2), (x2 - 0.3, y2))
    yield from ({"edge": number, "step": step, "x": px, "y": py} for step, (px, py) in enumerate(points))


def _milliseconds(moment: float | None) -> int:
    return round(1000 * (moment or 0.0))
