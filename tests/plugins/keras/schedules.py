"""Fits whose learning rate is changed from the page, each until ten steps after the change.

``python schedules.py FOLDER`` writes ``rates.json``: the rate in force at every step, what the
script's own schedule says of it, and both after the model was saved and loaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.optimizers import schedules

from trainmon_keras import TrainmonCallback

#: More steps than any command takes to come.
MOST_STEPS = 20_000
AFTER = 10


def _number(value: Any) -> float:
    return float(keras.ops.convert_to_numpy(value))


class Journal(keras.callbacks.Callback):
    """Notes the rate that each batch is trained with; ends the fit soon after a change."""

    def __init__(self, plain: Any) -> None:
        super().__init__()
        self.plain = plain
        self.rates: list[float] = []
        self.expected: list[float] = []
        self.changed = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        step = len(self.rates)
        self.rates.append(_number(self.model.optimizer.learning_rate))
        self.expected.append(_number(self.plain(step)))
        if abs(self.rates[-1] / self.expected[-1] - 1) > 1e-3:
            self.changed += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(0.002)
        if self.changed > AFTER or len(self.rates) > MOST_STEPS:
            self.model.stop_training = True


def _by_epoch(epoch: int, rate: float = 0.0) -> float:
    return 0.5 / (epoch + 1)


#: What the optimizer is given, and what else.
SCHEDULES: dict[str, Any] = {
    "number": 0.5,
    "ExponentialDecay": schedules.ExponentialDecay(0.5, 100, 0.9),
    "PiecewiseConstantDecay": schedules.PiecewiseConstantDecay([100, 5000], [0.5, 0.25, 0.125]),
    "PolynomialDecay": schedules.PolynomialDecay(0.5, 1000, 0.01, cycle=True),
    "InverseTimeDecay": schedules.InverseTimeDecay(0.5, 100, 0.5),
    "CosineDecay": schedules.CosineDecay(
        0.01, 100_000, alpha=0.1, warmup_target=0.5, warmup_steps=20
    ),
    "CosineDecayRestarts": schedules.CosineDecayRestarts(0.5, 500, alpha=0.1),
    "LearningRateScheduler": 0.5,
}


def run(name: str, rate: Any) -> dict[str, Any]:
    """Train until the rate was changed."""
    random = np.random.default_rng(0)
    x, y = random.random((40, 4)).astype("float32"), random.random((40, 1)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    steps = 5
    if name == "LearningRateScheduler":
        plain: Any = lambda step: _by_epoch(step // steps)  # noqa: E731 - as short as the others
        others = [keras.callbacks.LearningRateScheduler(_by_epoch)]
    else:
        plain, others = (lambda _: rate) if isinstance(rate, float) else rate, []
    journal = Journal(plain)
    callbacks = [*others, journal, TrainmonCallback(name)]
    model.fit(x, y, batch_size=8, epochs=MOST_STEPS, verbose=0, callbacks=callbacks)
    model.save("saved.keras")
    loaded = keras.models.load_model("saved.keras")
    return {
        "rates": journal.rates,
        "expected": journal.expected,
        "saved": _number(model.optimizer.learning_rate),
        "loaded": _number(loaded.optimizer.learning_rate),
    }


def main() -> None:
    """Run them all."""
    os.chdir(Path(sys.argv[1]))
    told = {name: run(name, rate) for name, rate in SCHEDULES.items()}
    Path("rates.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
