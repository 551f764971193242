"""Split the digits that ship with scikit-learn; fix the canvases of validation and test."""

from pathlib import Path

import numpy as np
from canvas import place
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

COPIES = 4


def preprocess(path: Path, seed: int) -> None:
    digits, labels = load_digits(return_X_y=True)
    digits = (digits / 16).astype(np.float32).reshape(-1, 8, 8)
    # Split before copying: a digit must not be in two parts.
    train, rest, train_labels, rest_labels = train_test_split(
        digits, labels, test_size=0.5, stratify=labels, random_state=seed
    )
    validation, test, validation_labels, test_labels = train_test_split(
        rest, rest_labels, test_size=0.5, stratify=rest_labels, random_state=seed
    )
    rng = np.random.default_rng(seed)
    np.savez_compressed(
        path,
        train=train,  # placed on canvases during the training, anew in each epoch
        train_labels=train_labels,
        validation=place(validation.repeat(COPIES, axis=0), rng),
        validation_labels=validation_labels.repeat(COPIES),
        test=place(test.repeat(COPIES, axis=0), rng),
        test_labels=test_labels.repeat(COPIES),
    )


preprocess(Path(snakemake.output[0]), snakemake.params.seed)
