"""Draw the learning curve of the whole chain, with the borders between its stages."""

import csv
import json
from pathlib import Path

from matplotlib.figure import Figure  # without pyplot: never opens a window
from matplotlib.ticker import PercentFormatter

Curve = list[dict[str, float]]


def read(path: Path) -> Curve:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def draw(curves: list[Curve], tests: list[dict[str, float]], path: Path) -> None:
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True, height_ratios=[2, 1])

    for stage, curve in enumerate(curves):
        left, right = curve[0]["epoch"] - 0.5, curve[-1]["epoch"] + 0.5
        for axes in (top, bottom):
            axes.axvspan(left, right, color="black", alpha=0.06 * (stage % 2), linewidth=0)
            axes.axvline(right, color="black", alpha=0.4, linestyle=":")
        name = f"train_model {stage}" if stage else "sweep"
        middle = (left + right) / 2
        top.text(middle, 1.02, name, ha="center", transform=top.get_xaxis_transform())

    whole = [row for curve in curves for row in curve]
    epochs = [row["epoch"] for row in whole]
    accuracies = [row["accuracy"] for row in whole]
    top.plot(epochs, accuracies, ".-", label="validation data")
    ends = [test["epochs"] for test in tests]
    accuracies = [test["accuracy"] for test in tests]
    top.plot(ends, accuracies, "D", label="test data, at the end of a stage")
    bottom.plot(epochs, [row["loss"] for row in whole], ".-")

    for axes in (top, bottom):
        axes.grid(axis="y", alpha=0.3)
    top.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    top.set_ylabel("accuracy")
    top.legend(loc="lower right")
    bottom.set(xlabel="epoch", ylabel="training loss", xlim=(0.5, epochs[-1] + 0.5), ylim=(0, None))
    figure.suptitle("The chain: each stage trains on from the model before it")
    figure.savefig(path, dpi=150)


draw(
    [read(Path(path)) for path in snakemake.input.curves],
    [json.loads(Path(path).read_text()) for path in snakemake.input.metrics],
    Path(snakemake.output[0]),
)
