"""Figures for people: plain tables, and a chart where matplotlib is installed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measuring import Measurement

Runs = Mapping[str, Sequence[Measurement]]
"""Contestant → its measurements, one per repetition."""


def times(runs: Runs, titles: Mapping[str, str]) -> str:
    """The table of what a user waits for."""
    head = ["seconds, median (min to max)", "makespan", "command returns", "first step runs", "step to step"]
    rows = [
        [
            titles[name],
            spread([one.makespan for one in many]),
            spread([one.returned for one in many]),
            spread([one.first_step for one in many]),
            spread([edge for one in many for edge in one.edges]),
        ]
        for name, many in runs.items()
    ]
    return table([head, *rows])


def costs(runs: Runs, titles: Mapping[str, str], tasks: int) -> str:
    """The table of what the machine and the controller pay."""
    named = ["sbatch", "squeue", "sacct", "scontrol"]
    head = ["median", "CPU s of the command", "CPU s per step", *named, "other calls", "calls in jobs"]
    rows = []
    for name, many in runs.items():
        others = [sum(n for program, n in one.calls.items() if program not in named) for one in many]
        rows.append(
            [
                titles[name],
                f"{median(one.head_cpu for one in many):.2f}",
                f"{median(one.job_cpu / tasks for one in many):.2f}",
                *(f"{median(one.calls.get(program, 0) for one in many):g}" for program in named),
                f"{median(others):g}",
                f"{median(sum(one.calls_in_jobs.values()) for one in many):g}",
            ]
        )
    return table([head, *rows])


def ratios(runs: Runs, titles: Mapping[str, str]) -> str:
    """How many times as long each takes as each faster one, repetition by repetition."""
    order = sorted(runs, key=lambda name: median(one.makespan for one in runs[name]))
    head = ["times as long, median (min to max)", "to the last output", "until the command returns"]
    rows = []
    for slow in order:
        for fast in order[: order.index(slow)]:
            pairs = list(zip(runs[slow], runs[fast], strict=True))
            waits = [one.returned / other.returned for one, other in pairs]
            rows.append(
                [
                    f"{titles[slow]} / {titles[fast]}",
                    spread([one.makespan / other.makespan for one, other in pairs]),
                    "" if _leaves_early(runs[fast]) or _leaves_early(runs[slow]) else spread(waits),
                ]
            )
    return table([head, *rows])


def loads(runs: Runs) -> str:
    """How busy the machine was with other things."""
    values = [one.load for many in runs.values() for one in many]
    return f"Load average of the machine before each run: {spread(values)}"


def _leaves_early(many: Sequence[Measurement]) -> bool:
    """Say whether the command is back before the work is done, as sbatch is: its time is then no wait for a result."""
    return all(one.returned < one.makespan for one in many)


def spread(values: Sequence[float]) -> str:
    """The median, and how far the values lie apart."""
    text = f"{median(values):.1f}"
    return text if len(values) == 1 else f"{text} ({min(values):.1f} to {max(values):.1f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )  # fmt: skip


def chart(path: Path, panels: Mapping[str, Runs], titles: Mapping[str, str], heading: str) -> bool:
    """Draw the makespans, and say whether that was possible."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        return False
    figure = Figure(figsize=(9, 1 + 1.9 * len(panels)), layout="constrained")
    figure.suptitle(heading)
    for axes, (panel, runs) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True):
        middles = [median(one.makespan for one in many) for many in runs.values()]
        below = [m - min(one.makespan for one in many) for m, many in zip(middles, runs.values(), strict=True)]
        above = [max(one.makespan for one in many) - m for m, many in zip(middles, runs.values(), strict=True)]
        bars = axes.barh([titles[name] for name in runs], middles, xerr=[below, above], color="#4a7ba6", height=0.6)
        axes.bar_label(bars, [f"{m:.0f} s" for m in middles], padding=4)
        axes.set_title(panel, fontsize="medium", loc="left")
        axes.set_xlim(0, 1.12 * max(m + a for m, a in zip(middles, above, strict=True)))
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("seconds from the command's start until the last output exists; median, min to max")
    figure.savefig(path, dpi=120)
    return True


def growth(
    path: Path, sizes: Sequence[int], panels: Mapping[str, Mapping[str, Sequence[float]]], heading: str, what: str
) -> bool:
    """Draw how values grow with the size, a panel for each quantity, and say whether that was possible."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(heading)
    for axes, (quantity, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for (name, values), colour in zip(lines.items(), ("#9a9a9a", "#4a7ba6"), strict=True):
            axes.loglog(sizes, values, marker="o", color=colour, label=name)
        axes.set_xlabel(what)
        axes.set_ylabel(quantity)
        axes.legend(frameon=False, fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    return True
