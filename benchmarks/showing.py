"""Figures for people: tables in Markdown, which a terminal shows just as well, and charts where matplotlib is installed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

NAMED = ("sbatch", "squeue", "sacct", "scontrol")
"""Slurm's programs that have a column of their own."""
COLOURS = ("#4a7ba6", "#d0793b", "#5c9e62", "#a65a7b", "#8a7ba6", "#777777")
"""One for each contestant of a comparison, in the order in which they come."""


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and how far the values lie apart."""
    if not values:
        return ""
    text = f"{median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def call_cells(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Cells for the calls of each named program, and for those of all others."""
    others = [sum(n for program, n in run["calls"].items() if program not in NAMED) for run in runs]
    named = [f"{median(run['calls'].get(program, 0) for run in runs):g}" for program in NAMED]
    return [*named, f"{median(others):g}"]


def loads(runs: Sequence[Mapping[str, Any]]) -> str:
    """How busy the machine was with other things."""
    return f"Load average of the machine before each run: {spread([run['load'] for run in runs])}."


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left, the others to the right; the first row is the head."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _contestant(label: str) -> str:
    """Whose bar it is: a label may go on with a figure of its own, `sbatch by hand: 2001 jobs`."""
    return label.partition(": ")[0]


def bars(file: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], label: str, unit: str = "s") -> bool:
    """Draw one bar per contestant, a panel below the other, and say whether that was possible."""
    if (figure := _figure(9, 0.8 + 1.7 * len(panels))) is None:
        return False
    everybody = list(dict.fromkeys(_contestant(name) for values in panels.values() for name in values))
    for axes, (title, values) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True):
        middles = [median(many) for many in values.values()]
        below = [middle - min(many) for middle, many in zip(middles, values.values(), strict=True)]
        above = [max(many) - middle for middle, many in zip(middles, values.values(), strict=True)]
        colours = [COLOURS[everybody.index(_contestant(name))] for name in values]
        drawn = axes.barh(
            list(values), middles, xerr=[below, above], color=colours, height=0.6, ecolor="#222222", capsize=3
        )
        axes.bar_label(drawn, [f"{middle:.3g} {unit}" for middle in middles], padding=4)
        axes.set_title(title, fontsize="medium", loc="left")
        axes.set_xlim(0, 1.12 * max(middle + more for middle, more in zip(middles, above, strict=True)))
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(label, fontsize="medium")
    figure.savefig(file, dpi=120)
    return True


def lines(
    file: Path,
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    labels: tuple[str, str],
    scales: tuple[str, str] = ("linear", "linear"),
) -> bool:
    """Draw points with lines, a panel beside the other, and say whether that was possible."""
    if (figure := _figure(1 + 4.4 * len(panels), 4.4)) is None:
        return False
    everybody = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    for axes, (title, values) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, points in values.items():
            axes.plot(*zip(*points, strict=True), marker=".", label=name, color=COLOURS[everybody.index(name)])
        axes.set(title=title, xlabel=labels[0], ylabel=labels[1], xscale=scales[0], yscale=scales[1])
        axes.title.set_fontsize("medium")
        axes.legend(fontsize="small", frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)
    return True


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return Figure(figsize=(width, height), layout="constrained")
