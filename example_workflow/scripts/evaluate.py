"""Evaluate a model of the chain on the test data."""

import json
from pathlib import Path

import joblib
import numpy as np
from matplotlib.figure import Figure  # without pyplot: never opens a window
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score


def draw(confusion: np.ndarray, title: str, path: Path) -> None:
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.subplots()
    shares = confusion / confusion.sum(axis=1, keepdims=True)
    # The square root makes the rare confusions visible beside the diagonal.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            color = "white" if shares[row, column] > 0.3 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set(xlabel="predicted digit", ylabel="true digit", title=title)
    figure.savefig(path, dpi=150)


model = joblib.load(snakemake.input.model)
with np.load(snakemake.input.data) as data:
    truth, predicted = data["test_labels"], model.predict(data["test"])
confusion = confusion_matrix(truth, predicted)
mistakes = confusion * (1 - np.eye(10, dtype=int))
digit, mistaken_for = divmod(int(mistakes.argmax()), 10)
metrics = {
    "stage": int(snakemake.wildcards.stage),
    "epochs": len(model.loss_curve_),
    "accuracy": accuracy_score(truth, predicted),
    "macro_f1": f1_score(truth, predicted, average="macro"),
    "worst_confusion": {"digit": digit, "mistaken_for": mistaken_for, "count": int(mistakes.max())},
}
title = f"Model {metrics['stage']} on test data: {metrics['accuracy']:.1%} after {metrics['epochs']} epochs"
draw(confusion, title, Path(snakemake.output.plot))
Path(snakemake.output.metrics).write_text(json.dumps(metrics, indent=2) + "\n")
