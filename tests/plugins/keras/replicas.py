"""Fits on two replicas of TensorFlow's MirroredStrategy.

``python replicas.py`` trains two epochs. ``python replicas.py FOLDER`` trains two models until each
is stopped from the page: the first by a schedule, the second by a number.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from trainmon_keras import TrainmonCallback

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
X = np.linspace(0, 1, 100 * 64, dtype=np.float32).reshape(100, 8, 8, 1)
Y = np.arange(100) % 3


def network(rate: Any) -> Any:
    """Return a model on both replicas."""
    with STRATEGY.scope():
        model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
        model.compile(
            keras.optimizers.SGD(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    return model


class Log(keras.callbacks.Callback):
    """Writes the rate of each batch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        with self.path.open("a") as file:
            file.write(f"{rate}\n")


def main() -> None:
    """Train."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    if len(sys.argv) == 1:
        # 24 a batch, 12 a replica; the last batch is short.
        callbacks = [TrainmonCallback("replicas")]
        network(schedule).fit(X, Y, batch_size=24, epochs=2, verbose=0, callbacks=callbacks)
        return
    folder = Path(sys.argv[1])
    slow = keras.optimizers.schedules.ExponentialDecay(0.1, 1000, 0.5)
    for name, rate in (("schedule", slow), ("number", 0.1)):
        callbacks = [
            Log(folder / f"rates-{name}"),
            TrainmonCallback(name, checkpoints=folder / "saved"),
        ]
        network(rate).fit(
            X, Y, batch_size=24, epochs=100_000, verbose=0, callbacks=callbacks,
            validation_data=(X[:24], Y[:24]), validation_freq=100_000,
        )  # fmt: skip


if __name__ == "__main__":
    main()
