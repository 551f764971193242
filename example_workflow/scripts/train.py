"""Train a model for some epochs: a new one (sweep) or the one of the stage before (chain)."""

import csv
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
from canvas import place
from sklearn.neural_network import MLPClassifier

COPIES = 8


def new_model(width: int, learning_rate: float, seed: int) -> MLPClassifier:
    # The GPU that the job asked for would be used from here: with torch, `model.to("cuda")`.
    return MLPClassifier(
        hidden_layer_sizes=(width,),
        learning_rate_init=learning_rate,
        batch_size=256,
        shuffle=False,  # `train` shuffles
        random_state=seed,
    )


def train(model: MLPClassifier, data: dict[str, np.ndarray], epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """Train on, epoch by epoch, and yield the learning curve."""
    digits = data["train"].repeat(COPIES, axis=0)
    labels = data["train_labels"].repeat(COPIES)
    first = len(getattr(model, "loss_curve_", [])) + 1  # `n_iter_` counts one call only
    for epoch in range(first, first + epochs):
        # Seeded by epoch, not by task: the result does not depend on where the chain is cut.
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(labels))
        model.partial_fit(place(digits[order], rng), labels[order], classes=range(10))
        accuracy = model.score(data["validation"], data["validation_labels"])
        yield {"epoch": epoch, "loss": model.loss_, "accuracy": accuracy}


def write(curve: Iterator[dict[str, float]], path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["epoch", "loss", "accuracy"])
        table.writeheader()
        for row in curve:
            print(row, flush=True)
            table.writerow(row)


seed = snakemake.params.seed
if hasattr(snakemake.input, "model"):
    model = joblib.load(snakemake.input.model)
else:
    model = new_model(int(snakemake.wildcards.width), float(snakemake.wildcards.lr), seed)
with np.load(snakemake.input.data) as archive:
    data = dict(archive)
write(train(model, data, snakemake.params.epochs, seed), Path(snakemake.output.curve))
joblib.dump(model, snakemake.output.model)
