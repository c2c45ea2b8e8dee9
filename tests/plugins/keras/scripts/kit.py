"""What all scripts share: data, a small network, the list of scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers
from sklearn.datasets import load_digits

from trainmon_keras import TrainmonCallback

__all__ = ["BACKEND", "SCRIPTS", "Journal", "X", "Y", "convnet", "script", "watched"]

BACKEND = keras.backend.backend()
SCRIPTS: dict[str, Callable[[], Any]] = {}

_digits = load_digits()
X = (_digits.images / 16).astype("float32")[:200, ..., None]
Y = _digits.target[:200].astype("int64")


class Journal(keras.callbacks.Callback):
    """What the script itself sees of its training."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.means: list[float] = []
        self.keys: set[str] = set()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1
        self.means.append(float(logs["loss"]) if "loss" in logs else float("nan"))
        self.keys |= set(logs)


def script(function: Callable[[], Any]) -> Callable[[], Any]:
    """Make a function one of the scripts."""
    SCRIPTS[function.__name__] = function
    return function


def watched(name: str, **options: Any) -> list[Any]:
    """Return the callbacks of a watched fit."""
    return [Journal(), TrainmonCallback(name, **options)]


def convnet(last: str | None = "softmax", classes: int = 10) -> Any:
    """Return a small network for the digits."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(classes, activation=last),
        ]
    )
