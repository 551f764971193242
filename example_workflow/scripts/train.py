"""Train a model for some epochs: a new one (sweep) or the one of the stage before (chain)."""

import csv
import os
import signal
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


def train(model: MLPClassifier, data: dict[str, np.ndarray], epochs: range, seed: int) -> Iterator[dict[str, float]]:
    """Train through these epochs, counted from the very first model on, and yield the learning curve."""
    digits = data["train"].repeat(COPIES, axis=0)
    labels = data["train_labels"].repeat(COPIES)
    for epoch in epochs:
        # Seeded by epoch, not by task: the result does not depend on where the chain is cut.
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(labels))
        model.partial_fit(place(digits[order], rng), labels[order], classes=range(10))
        accuracy = model.score(data["validation"], data["validation_labels"])
        yield {"epoch": epoch, "loss": float(model.loss_), "accuracy": float(accuracy)}


def checkpoint() -> Path | None:
    """Where this task saves its state: a folder that outlives requeue, time limit and retry. Only kempner has it."""
    folder = os.environ.get("KEMPNER_CHECKPOINT_DIR")
    return Path(folder) / "state.joblib" if folder else None


def save(state: tuple[MLPClassifier, list[dict[str, float]]], path: Path) -> None:
    beside = path.with_suffix(".new")
    joblib.dump(state, beside)
    beside.replace(path)  # a job that is killed here leaves the last state whole


def write(curve: list[dict[str, float]], path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["epoch", "loss", "accuracy"])
        table.writeheader()
        table.writerows(curve)


seed, crash, pause = (snakemake.params.get(name, 0) for name in ("seed", "crash", "pause"))
if hasattr(snakemake.input, "model"):
    model = joblib.load(snakemake.input.model)
else:
    model = new_model(int(snakemake.wildcards.width), float(snakemake.wildcards.lr), seed)
with np.load(snakemake.input.data) as archive:
    data = dict(archive)

first = len(getattr(model, "loss_curve_", [])) + 1  # `n_iter_` counts one call only
epochs = range(first, first + snakemake.params.epochs)
curve: list[dict[str, float]] = []
saved = checkpoint()
told: list[int] = []
if saved:
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))  # the end of the job is near
if saved and saved.exists():
    model, curve = joblib.load(saved)
    print(f"resumed after epoch {curve[-1]['epoch']}", flush=True)
left = epochs[len(curve) :]
for row in train(model, data, left, seed):
    print(row, flush=True)
    curve.append(row)
    if saved:
        save((model, curve), saved)
    if row["epoch"] == crash:
        raise SystemExit(f"crashed on purpose after epoch {crash} (config: crash_after_epoch)")
    if saved and len(curve) < len(epochs) and (told or (pause and len(curve) % pause == 0)):
        raise SystemExit(75)  # to be continued, in the next job if the rule has slurm_segments
write(curve, Path(snakemake.output.curve))
joblib.dump(model, snakemake.output.model)
