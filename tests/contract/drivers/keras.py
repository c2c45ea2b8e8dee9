"""Keras 3 on TensorFlow; the drivers of its other backends are this one, with another name here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract import LINE, NOTHING, Log, Plan, main

PART = "keras"
NEEDS = ("keras", "tensorflow", "trainmon_keras")
FRAMEWORK = "keras"
WAYS = (LINE, NOTHING)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True
KNOB = ""


def train(plan: Plan, log: Log, backend: str = "tensorflow") -> Callable[[], object]:
    """Train as planned."""
    # This script's folder is on the path, and this script is named keras.
    folder = Path(__file__).parent
    sys.path[:] = [entry for entry in sys.path if Path(entry) != folder]
    os.environ["KERAS_BACKEND"] = backend
    import keras
    import numpy as np

    class Account(keras.callbacks.Callback):
        """The user's side: what Keras itself says."""

        epoch = 0
        rate = 0.0
        mean = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            rate = self.model.optimizer.learning_rate
            self.rate = float(keras.ops.convert_to_numpy(rate))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # Keras tells the mean of the epoch so far: from two of them follows the batch's loss.
            mean = float(logs["loss"])
            loss = mean * (batch + 1) - self.mean * batch
            self.mean = mean
            exact = loss if loss > mean / 20 else None  # of a small one float32 leaves nothing
            log.batch(epoch=self.epoch, batch=batch, loss=exact, learning_rate=self.rate)

        def on_test_end(self, logs: Any = None) -> None:
            log.evaluated()

    os.chdir(plan.folder)
    generator = np.random.default_rng(0)
    count = 4 * plan.batches
    x = generator.random((count, 8, 8, 1), np.float32)
    y = generator.integers(0, 3, count)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.compile(
        keras.optimizers.SGD(plan.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callbacks: list[Any] = [Account()]
    if plan.way == LINE:
        from trainmon_keras import TrainmonCallback

        controls = {"pair": log.knob("pair")}
        callback = TrainmonCallback(**plan.session, controls=controls)
        callbacks.append(callback.add_control("counter", *log.knob("counter")))
    for _ in range(plan.fits):
        model.fit(
            x, y, batch_size=4, epochs=plan.epochs, verbose=0, callbacks=callbacks,
            validation_data=(x[:4], y[:4]), validation_freq=1000,
        )  # fmt: skip
        log.fit_ended()
    return callbacks[1].on_train_end if plan.way == LINE else lambda: None


if __name__ == "__main__":
    main(train)
