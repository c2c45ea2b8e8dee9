"""A model so small that hundreds of steps a second cost nothing, the same for the same seed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPOCH_STEPS", "Step", "Tiny", "reference"]

EPOCH_STEPS = 100
_SAMPLES, _EDGE, _CLASSES = 8, 8, 4
#: Every so many steps a scalar is told that is no number, and in between none of that name.
_ODD_STEPS = 97


@dataclass
class Step:
    """What one step was."""

    scalars: dict[str, float]
    images: NDArray[np.float64] = field(repr=False)
    """(samples, edge, edge), 0 to 1."""
    logits: NDArray[np.float64] = field(repr=False)
    """(samples, classes)."""
    targets: NDArray[np.int64] = field(repr=False)
    """(samples,)."""


class Tiny:
    """A linear classifier of pictures with one bright quarter.

    Args:
        seed: Of the data and of the weights.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self.weights = self._generator.normal(size=(_EDGE * _EDGE, _CLASSES)) / 10
        self.steps = 0
        """Steps so far."""

    @property
    def checksum(self) -> str:
        """Of the weights, to the last bit."""
        return hashlib.sha256(self.weights.tobytes()).hexdigest()

    def step(self) -> Step:
        """Train on one batch."""
        targets = self._generator.integers(0, _CLASSES, _SAMPLES)
        images = self._generator.random((_SAMPLES, _EDGE, _EDGE)) / 2
        half = _EDGE // 2
        for image, target in zip(images, targets, strict=True):
            top, left = divmod(int(target), 2)
            image[top * half : (top + 1) * half, left * half : (left + 1) * half] += 0.3
        flat = images.reshape(_SAMPLES, -1)
        logits = flat @ self.weights
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        rows = np.arange(_SAMPLES)
        loss = float(-np.log(chances[rows, targets]).mean())
        accuracy = float((chances.argmax(axis=1) == targets).mean())
        chances[rows, targets] -= 1
        self.weights -= 0.05 * flat.T @ chances / _SAMPLES
        scalars = {"loss": loss, "accuracy": accuracy}
        if self.steps % _ODD_STEPS == 0:
            scalars["odd"] = (math.nan, math.inf, -math.inf, -0.0)[self.steps // _ODD_STEPS % 4]
        self.steps += 1
        return Step(scalars, images, logits, targets)


def reference(seed: int, steps: int) -> tuple[list[dict[str, float]], str]:
    """Return the scalars of an undisturbed training, and the checksum of its weights.

    Args:
        seed: Of the training.
        steps: After how many steps the checksum is taken; of one more there are scalars.
    """
    tiny = Tiny(seed)
    scalars = [tiny.step().scalars for _ in range(steps)]
    checksum = tiny.checksum
    return [*scalars, tiny.step().scalars], checksum
