"""A fit without end, with a knob of the script's own, until it is interrupted from outside.

``python endless.py FOLDER``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from trainmon_keras import TrainmonCallback

EPOCHS = 1_000_000


class Slowly(keras.callbacks.Callback):
    """Leaves the machine to others."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(0.005)


class Weighted(keras.Model):
    """Its loss has a weight that can be changed while the compiled step runs."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        self.weight = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="loss_weight"
        )

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Any:
        return self.weight * (1 + 0 * keras.ops.mean(y_pred - y))


def main() -> None:
    """Train."""
    os.chdir(Path(sys.argv[1]))
    x = np.ones((40, 3), "float32")
    model = Weighted()
    model.compile("sgd")
    callback = TrainmonCallback("endless").add_control(
        "loss_weight", model.weight.assign, lambda: float(model.weight), minimum=0, maximum=10
    )
    model.fit(x, x[:, :1], batch_size=10, epochs=EPOCHS, verbose=0, callbacks=[Slowly(), callback])


if __name__ == "__main__":
    main()
