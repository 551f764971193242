"""The task to learn: a digit of 8 x 8 pixels, somewhere on a larger canvas with noise."""

import numpy as np

DIGIT = 8
SIDE = 12
NOISE = 0.1


def place(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put each digit at a random position and return the canvases as rows of pixels."""
    canvases = rng.normal(0, NOISE, (len(digits), SIDE, SIDE)).astype(np.float32)
    corners = rng.integers(0, SIDE - DIGIT, (len(digits), 2), endpoint=True)
    for canvas, digit, (row, column) in zip(canvases, digits, corners, strict=True):
        canvas[row : row + DIGIT, column : column + DIGIT] += digit
    return canvases.reshape(len(digits), -1)
