"""A colour for each state, as the terminal's, readable on white."""

from collections.abc import Mapping

from ..state.model import State

COLOURS: Mapping[State, str] = {
    State.DONE: "#2f9e44",
    State.RUNNING: "#1098ad",
    State.WAITING: "#adb5bd",
    State.RETRYING: "#f59f00",
    State.FAILED: "#e03131",
    State.NEVER: "#ffa8a8",
    State.CANCELLED: "#ae3ec9",
    State.NOT_NEEDED: "#dee2e6",
    State.UNKNOWN: "#fab005",
}
BEFORE = "#eceff1"
"""Of the time in which something before a task has not ended."""
