"""Fits whose arrays count as lying on an accelerator; none arrives before the fit is over.

``python device.py FOLDER`` writes ``read.json``: what Keras' own epochs say, and where a value was
read by the training's thread in the midst of a step. An accelerator is not needed: JAX's and
TensorFlow's arrays are sent for in the same way wherever they lie.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from trainmon.capture import arrays, landing, reader_thread
from trainmon_keras import TrainmonCallback
from trainmon_keras.fit import Fit

BACKEND = keras.backend.backend()
KINDS = {"jax": ("jax", "jaxlib"), "tensorflow": ("tensorflow",)}[BACKEND]
WORDS = ["", "a", "very", "good", "film"]

arrived = threading.Event()
reads: list[str] = []
in_step = threading.local()


def call_it_a_device() -> None:
    """Have the arrays of the backend count as lying elsewhere, and hold what is sent for."""
    place_of = arrays.place_of
    arrays.place_of = lambda value: (
        "gpu" if arrays.framework_of(value) in KINDS else place_of(value)
    )
    ready, done = landing._FromJax.ready, reader_thread.Job.ready
    landing._FromJax.ready = lambda self: arrived.is_set() and ready(self)
    reader_thread.Job.ready = lambda self: arrived.is_set() and done(self)


def count_reads() -> None:
    """Note where a value is read of what a step returned, by the thread that made it."""
    told = Fit._step_ended

    def tell(self: Any, *arguments: Any) -> None:
        in_step.now = True
        try:
            told(self, *arguments)
        finally:
            in_step.now = False

    Fit._step_ended = tell
    if BACKEND == "jax":
        from jax._src.array import ArrayImpl

        value = ArrayImpl._value.fget
        ArrayImpl._value = property(lambda self: _noted(value, self))
    else:
        from tensorflow.python.framework.ops import _EagerTensorBase

        plain = _EagerTensorBase._numpy
        _EagerTensorBase._numpy = lambda self: _noted(plain, self)


def _noted(read: Any, value: Any) -> Any:
    if getattr(in_step, "now", False):
        reads.append("".join(traceback.format_stack(limit=6)))
    return read(value)


class Arrival(keras.callbacks.Callback):
    """Lets everything arrive when the last epoch is over; asks for no batch, as most do not."""

    def on_train_end(self, logs: Any = None) -> None:
        arrived.set()


def pictures() -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return a model for pictures, its data and what the callback is told."""
    random = np.random.default_rng(0)
    x, y = random.random((84, 16, 16, 3), np.float32), random.integers(0, 3, 84)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    return model, x, y, {}


def texts() -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return a model for token ids, likewise."""
    ids = np.random.default_rng(0).integers(1, 5, (84, 6))
    model = keras.Sequential(
        [
            layers.Embedding(5, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    return model, ids, ids[:, 0] % 3, {"vocabulary": WORDS}


def main() -> None:
    """Train both."""
    call_it_a_device()
    count_reads()
    told: dict[str, Any] = {}
    for make in (pictures, texts):
        arrived.clear()
        model, x, y, options = make()
        rate = keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.5)
        model.compile(
            keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        history = model.fit(
            x, y, batch_size=20, epochs=2, shuffle=False, verbose=0,
            callbacks=[Arrival(), TrainmonCallback(make.__name__, **options)],
        )  # fmt: skip
        told[make.__name__] = history.history
    told["reads"] = reads
    Path(sys.argv[1], "read.json").write_text(json.dumps(told, default=float))


if __name__ == "__main__":
    main()
