"""Fan-in of the sweep: draw it, and hand the best model to the chain."""

import csv
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from matplotlib.figure import Figure  # without pyplot: never opens a window
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter


class Run(NamedTuple):
    """One member of the sweep."""

    accuracy: float
    width: int
    learning_rate: float
    model: Path
    curve: Path


def read(model: Path, curve: Path) -> Run:
    settings = joblib.load(model)
    with curve.open(newline="") as file:
        *_, last = csv.DictReader(file)
    return Run(
        accuracy=float(last["accuracy"]),
        width=settings.hidden_layer_sizes[0],
        learning_rate=settings.learning_rate_init,
        model=model,
        curve=curve,
    )


def draw(runs: list[Run], best: Run, path: Path) -> None:
    widths = sorted({run.width for run in runs})
    rates = sorted({run.learning_rate for run in runs})
    grid = np.full((len(widths), len(rates)), np.nan)
    for run in runs:
        grid[widths.index(run.width), rates.index(run.learning_rate)] = run.accuracy

    size = (1.5 + 1.25 * len(rates), 1.6 + 0.9 * len(widths))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, cmap="Blues", aspect="auto", vmin=0, vmax=1)
    for (row, column), accuracy in np.ndenumerate(grid):
        color = "white" if accuracy > 0.5 else "black"
        axes.text(column, row, f"{accuracy:.1%}", ha="center", va="center", color=color)
    corner = (rates.index(best.learning_rate) - 0.5, widths.index(best.width) - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="tab:orange", linewidth=4, clip_on=False))
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_yticks(range(len(widths)), widths)
    axes.set(
        xlabel="learning rate",
        ylabel="hidden units",
        title="Sweep: validation accuracy, best framed",
    )
    figure.colorbar(image, format=PercentFormatter(1, decimals=0))
    figure.savefig(path, dpi=150)


pairs = zip(snakemake.input.models, snakemake.input.curves, strict=True)
runs = [read(Path(model), Path(curve)) for model, curve in pairs]
best = max(runs)
draw(runs, best, Path(snakemake.output.plot))
shutil.copyfile(best.model, snakemake.output.model)
shutil.copyfile(best.curve, snakemake.output.curve)
facts = {
    "width": best.width,
    "learning_rate": best.learning_rate,
    "accuracy": best.accuracy,
    "runs": len(runs),
}
Path(snakemake.output.best).write_text(json.dumps(facts, indent=2) + "\n")
