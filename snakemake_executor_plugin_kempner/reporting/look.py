"""How charts look: colours, axes of time, the frame. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..state.model import State
from .colours import BEFORE, COLOURS

Chart = dict[str, Any]
WAITS, QUEUED = "waits for tasks", "waits in the queue"
PHASES: Mapping[str, str] = {
    WAITS: BEFORE, QUEUED: COLOURS[State.WAITING], **{state.value: colour for state, colour in COLOURS.items()}
}  # fmt: skip
_CLOCK = (
    "seconds(datum.value) ? timeFormat(datum.value, '%H:%M:%S') : "
    "hours(datum.value) + minutes(datum.value) ? timeFormat(datum.value, '%H:%M') : timeFormat(datum.value, '%a %d %b')"
)
_LONG = 1000 * 86_400 * 2.5
"""Milliseconds from which on hours without a date would be ambiguous."""
MOMENT = "%a %d %b %H:%M:%S"
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


def chart(**what: Any) -> Chart:
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": _CONFIG, "background": None, **what}


def colour_of(field: str, shown: Iterable[str]) -> dict[str, Any]:
    there = set(shown)
    domain = [phase for phase in PHASES if phase in there]
    return {
        "field": field, "type": "nominal", "scale": {"domain": domain, "range": [PHASES[phase] for phase in domain]}
    }  # fmt: skip


def time_axis(moments: Sequence[float], orient: str = "top") -> dict[str, Any]:
    """An axis with as much of date and time as the span needs."""
    is_long = bool(moments) and max(moments) - min(moments) > _LONG
    shown = {"format": "%d %b %H:%M"} if is_long else {"labelExpr": _CLOCK}
    return {
        "type": "temporal",
        "axis": {"title": None, "labelOverlap": True, "labelSeparation": 8, "orient": orient, **shown},
    }


def milliseconds(moment: float | None) -> int:
    return round(1000 * (moment or 0.0))
