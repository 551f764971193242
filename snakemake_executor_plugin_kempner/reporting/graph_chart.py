"""The graph of a run as a value for Vega-Lite: tasks or rules, in the colours of their states. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..export.graph import Node, by_rule
from ..printable import printable
from .layers import placed
from .look import PHASES, Chart, chart, colour_of

MOST_NODES = 40
"""A graph of more tasks shows the rules."""
_PAGE = 1150
"""Width of the page, about."""
_COLUMN = 150
"""Least width of a column of the graph; a wider graph is scrolled."""


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
        "limit": max(_COLUMN, _PAGE // columns) - 20,
        "fontSize": 12,
        "color": "#212529",
        "baseline": "bottom",
        "dy": -10,
    }
    firsts = {"x": {"field": "middle", **x}, "y": {"field": "y", **y}}
    return chart(
        width="container",
        usermeta={"least": _COLUMN * columns},
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
                    "color": colour_of("state", (box["state"] for box in boxes)),
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


def _box(name: str, states: Counter[str], place: tuple[int, float]) -> Iterator[dict[str, Any]]:
    """A node, as parts with the share of each state."""
    x, y = place
    total, left = sum(states.values()), x - 0.3
    said = ", ".join(f"{number:,} {state}" if total > 1 else state for state, number in states.most_common())
    ordered = [state for state in PHASES if state in states]
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
