"""A training that writes each loss and the final weights to the last bit, with trainmon or alone.

``python sacred.py FOLDER [alone]``: the same network, with TensorFlow twice, the second compiled by
XLA, and with Torch twice, the second by torch.compile without its slow last stage.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

BACKEND = keras.backend.backend()
BATCHES, EPOCHS = 12, 3
#: Whether the step is compiled as a whole; each operation alone takes JAX minutes.
JITS = {"tensorflow": (False, True), "jax": (True,), "torch": (False, True)}


class Log(keras.callbacks.Callback):
    """Writes the mean loss after each batch."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self.file = file

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.file.write(f"{float(logs['loss']).hex()} {float(logs['accuracy']).hex()}\n")
        self.file.flush()
        time.sleep(0.02)  # so that there is time to disturb it


def network(traces: list[None]) -> Any:
    """Return a network with all that is random or kept between steps."""

    class Counted(layers.Layer):
        def call(self, x: Any) -> Any:
            traces.append(None)
            return x * 1

    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            Counted(),
            layers.RandomFlip(seed=3) if BACKEND == "tensorflow" else layers.GaussianNoise(0.1),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> None:
    """Train."""
    folder, alone = Path(sys.argv[1]), "alone" in sys.argv
    if BACKEND == "torch":
        import torch

        torch.set_num_threads(1)
        torch.compile = functools.partial(torch.compile, backend="aot_eager")
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(5)
    random = np.random.default_rng(5)
    x = random.random((BATCHES * 40 - 17, 16, 16, 3), np.float32)
    y = random.integers(0, 10, len(x))
    with (folder / "losses").open("w") as file:
        for jit in JITS[BACKEND]:
            callbacks: list[Any] = [Log(file)]
            if not alone:
                from trainmon_keras import TrainmonCallback

                callbacks.append(TrainmonCallback("sacred"))
            traces: list[None] = []
            model = network(traces)
            model.compile(
                keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 50)),
                "sparse_categorical_crossentropy",
                metrics=["accuracy"],
                jit_compile=jit,
            )
            model.fit(
                x, y, batch_size=40, epochs=EPOCHS, verbose=0, callbacks=callbacks,
                validation_data=(x[:50], y[:50]),
            )  # fmt: skip
            weights = b"".join(np.ascontiguousarray(w).tobytes() for w in model.get_weights())
            file.write(f"{hashlib.sha256(weights).hexdigest()}\n")
            if BACKEND != "torch":  # which runs eagerly, or in graphs that are counted
                file.write(f"traces {len(traces)}\n")
            elif jit:
                graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
                file.write(f"graphs {graphs}\n")


if __name__ == "__main__":
    main()
