"""Trainings as people write them with Keras, each a function; a process runs all for one backend.

``python scripts.py FOLDER NAME…`` runs those named (all where none is) and writes ``facts.json``:
what each says of itself. Every run is named as its function is.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from trainmon_keras import TrainmonCallback

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


@script
def mnist_convnet() -> Any:
    """The first example of keras.io: one-hot targets, dropout, a part kept for validation."""
    model = convnet()
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    callbacks = watched("mnist_convnet", class_names=[f"digit {n}" for n in range(10)])
    y = keras.utils.to_categorical(Y, 10)
    history = model.fit(
        X, y, batch_size=32, epochs=2, validation_split=0.1, verbose=0, callbacks=callbacks
    )
    score = model.evaluate(X, y, verbose=0)
    return {
        "history": history.history,
        "keys": sorted(callbacks[0].keys),
        "score": score,
        "left": sorted({"train_step", "compute_loss", "compute_metrics"} & vars(model).keys()),
    }


@script
def column_of_classes() -> Any:
    """Class indices as a column, logits out."""
    model = convnet(last=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["sparse_categorical_accuracy"])
    callbacks = watched("column_of_classes")
    model.fit(X, Y[:, None], batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
    return {"means": callbacks[0].means}


@script
def binary() -> Any:
    """Two classes, one probability out."""
    model = convnet("sigmoid", 1)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(X, (Y > 4).astype("float32"), verbose=0, callbacks=watched("binary"))


@script
def multi_label() -> Any:
    """Any of three classes."""
    y = np.stack([Y % 2, Y > 4, Y % 3 == 0], axis=1).astype("float32")
    model = convnet("sigmoid", 3)
    model.compile("adam", "binary_crossentropy")
    model.fit(X, y, verbose=0, callbacks=watched("multi_label"))


@script
def regression() -> Any:
    """A real number for each picture, with weights of the samples."""
    model = convnet(None, 1)
    model.compile("adam", "mse", metrics=["mae"])
    weights = np.linspace(0.5, 1.5, len(Y)).astype("float32")
    y = Y.astype("float32") / 7
    model.fit(X, y, sample_weight=weights, verbose=0, callbacks=watched("regression"))


@script
def segmentation() -> Any:
    """A class for each pixel."""
    masks = (X[..., 0] > 0.4).astype("int32") + (X[..., 0] > 0.8)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, masks, verbose=0, callbacks=watched("segmentation"))


@script
def several_inputs() -> Any:
    """A functional model with named inputs and outputs, fed with dicts."""
    picture, number = keras.Input((8, 8, 1), name="picture"), keras.Input((2,), name="number")
    features = layers.Concatenate()([layers.Flatten()(picture), number])
    outputs = {
        "digit": layers.Dense(10, activation="softmax", name="digit")(features),
        "size": layers.Dense(1, name="size")(features),
    }
    model = keras.Model({"number": number, "picture": picture}, outputs)
    model.compile("adam", {"digit": "sparse_categorical_crossentropy", "size": "mse"})
    x = {"number": X[:, :2, 0, 0], "picture": X}
    y = {"digit": Y, "size": X.mean((1, 2))}
    model.fit(x, y, verbose=0, callbacks=watched("several_inputs", outputs="digit"))


@script
def transfer_learning() -> Any:
    """Two fits of one model, the second with more of it trained; compiled anew between them."""
    base = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten()])
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    callbacks = watched("transfer_learning")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    base.trainable = True
    model.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=callbacks)
    return {"batches": callbacks[0].batches}


@script
def many_fits() -> Any:
    """A fit of one epoch, again and again; the step is traced once."""
    traces = []

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(10, activation="softmax")

        def call(self, x: Any) -> Any:
            traces.append(None)
            return self.dense(keras.ops.reshape(x, (-1, 64)))

    model = Model()
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=BACKEND == "jax")
    counts = []
    for _ in range(3):
        model.fit(X[:64], Y[:64], verbose=0, callbacks=watched("many_fits"))
        counts.append(len(traces))
    return {"counts": counts}


def _custom_step() -> Any:  # noqa: C901 - three guides in a row
    """Return the custom step of keras.io's guide, of this backend."""

    class TensorFlowModel(keras.Model):
        def train_step(self, data: Any) -> Any:
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    class TorchModel(keras.Model):
        def train_step(self, data: Any) -> Any:
            import torch

            x, y = data
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            loss.backward()
            weights = list(self.trainable_weights)
            with torch.no_grad():
                self.optimizer.apply([v.value.grad for v in weights], weights)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    class JaxModel(keras.Model):
        def compute_own(self, weights: Any, others: Any, x: Any, y: Any) -> Any:
            y_pred, others = self.stateless_call(weights, others, x, training=True)
            return self.compute_loss(x, y, y_pred), (y_pred, others)

        def train_step(self, state: Any, data: Any) -> Any:
            import jax

            weights, others, optimizer, metrics = state
            x, y = data
            gradient = jax.value_and_grad(self.compute_own, has_aux=True)
            (loss, (y_pred, others)), grads = gradient(weights, others, x, y)
            weights, optimizer = self.optimizer.stateless_apply(optimizer, grads, weights)
            new, logs, taken = [], {}, 0
            for metric in self.metrics:
                own = metrics[taken : taken + len(metric.variables)]
                taken += len(metric.variables)
                if metric.name == "loss":
                    own = metric.stateless_update_state(own, loss)
                else:
                    own = metric.stateless_update_state(own, y, y_pred)
                logs[metric.name] = metric.stateless_result(own)
                new += own
            return logs, (weights, others, optimizer, new)

    return {"tensorflow": TensorFlowModel, "torch": TorchModel, "jax": JaxModel}[BACKEND]


@script
def custom_train_step() -> Any:
    """The custom step of keras.io's guide."""
    inputs = keras.Input((8, 8, 1))
    model = _custom_step()(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(inputs)))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks = watched("custom_train_step")
    model.fit(X, Y, shuffle=False, verbose=0, callbacks=callbacks)
    return {"means": callbacks[0].means}


@script
def loss_of_its_own() -> Any:
    """A subclassed model that computes its loss itself, compiled without one."""

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.dense = layers.Flatten(), layers.Dense(10)

        def call(self, x: Any) -> Any:
            return self.dense(self.flat(x))

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
        ) -> Any:
            truth = keras.ops.one_hot(y, 10)
            return keras.ops.mean((y_pred - truth) ** 2)

    model = Model()
    model.compile("sgd")
    callbacks = watched("loss_of_its_own")
    model.fit(X, Y, shuffle=False, verbose=0, callbacks=callbacks)
    return {"means": callbacks[0].means}


class _Pairs(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * 20, index * 20 + 20)
        return X[rows], Y[rows]


@script
def kinds_of_data() -> Any:
    """A PyDataset, a generator of unknown length, tf.data and a torch DataLoader."""
    import tensorflow as tf
    import torch

    def endless() -> Any:
        while True:
            yield X[:20], Y[:20]

    tensors = torch.utils.data.TensorDataset(torch.from_numpy(X[:80]), torch.from_numpy(Y[:80]))
    kinds: list[tuple[Any, dict[str, Any]]] = [
        (_Pairs(), {}),
        (endless(), {"steps_per_epoch": 4}),
        (
            tf.data.Dataset.from_tensor_slices((X[:80], Y[:80])).filter(lambda *_: True).batch(20),
            {},
        ),
        (torch.utils.data.DataLoader(tensors, batch_size=20), {}),
    ]
    model = convnet()
    model.compile("adam", "sparse_categorical_crossentropy")
    callbacks = watched("kinds_of_data")
    for data, how in kinds:
        model.fit(data, verbose=0, callbacks=callbacks, **how)
    return {"batches": callbacks[0].batches}


@script
def class_weights() -> Any:
    """Some classes weigh more."""
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy")
    weights = {n: 1 + n / 10 for n in range(10)}
    model.fit(X, Y, class_weight=weights, verbose=0, callbacks=watched("class_weights"))


@script
def mixed_precision() -> Any:
    """Float16 layers; the optimizer scales the loss."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = convnet()
        model.compile(keras.optimizers.SGD(0.25), "sparse_categorical_crossentropy")
        callbacks = watched("mixed_precision")
        model.fit(X, Y, shuffle=False, verbose=0, callbacks=callbacks)
    finally:
        keras.config.set_dtype_policy("float32")
    return {"means": callbacks[0].means, "optimizer": type(model.optimizer).__name__}


@script
def just_in_time() -> Any:
    """Compiled as a whole: XLA; not for Torch, where compilers need a machine of their own."""
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=BACKEND != "torch")
    callbacks = watched("just_in_time")
    model.fit(X, Y, batch_size=48, shuffle=False, verbose=0, callbacks=callbacks)
    return {"means": callbacks[0].means}


@script
def eagerly() -> Any:
    """Not compiled at all."""
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(X, Y, verbose=0, callbacks=watched("eagerly"))


@script
def several_steps_at_once() -> Any:
    """Four steps an execution, the last of an epoch with fewer; Torch has no such thing."""
    at_once = 1 if BACKEND == "torch" else 4
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=at_once)
    callbacks = watched("several_steps_at_once")
    model.fit(X, Y, batch_size=20, epochs=2, verbose=0, callbacks=callbacks)
    return {"executions": callbacks[0].batches}


@script
def early_stopping() -> Any:
    """Ends before its epochs are over."""
    model = convnet()
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1)
    callbacks = [*watched("early_stopping"), stopping]
    history = model.fit(X, Y, epochs=9, validation_split=0.2, verbose=0, callbacks=callbacks)
    return {"epochs": len(history.epoch)}


@script
def resumed() -> Any:
    """Goes on at its fourth epoch."""
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(
        X, Y, batch_size=50, initial_epoch=3, epochs=5, verbose=0, callbacks=watched("resumed")
    )


class _Fails(keras.callbacks.Callback):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            raise self.error


def _failing(name: str, error: BaseException) -> Any:
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy")
    callbacks = watched(name)
    caught = ""
    try:
        model.fit(X, Y, verbose=0, callbacks=[*callbacks, _Fails(error)])
    except BaseException as raised:  # noqa: BLE001 - as a notebook does
        caught = type(raised).__name__
    model.fit(X, Y, verbose=0, callbacks=callbacks)
    return {"caught": caught, "batches": callbacks[0].batches}


@script
def failing_callback() -> Any:
    """Another callback raises, the script catches it, and fits again."""
    return _failing("failing_callback", ValueError("bad batch"))


@script
def interrupted() -> Any:
    """Ctrl-C in mid-epoch, caught, and fitted again."""
    return _failing("interrupted", KeyboardInterrupt())


@script
def words() -> Any:
    """Token ids, with the words they stand for."""
    ids = np.random.default_rng(0).integers(1, 5, (64, 6))
    model = keras.Sequential(
        [layers.Embedding(5, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    vocabulary = ["", "a", "very", "good", "film"]
    callbacks = watched("words", vocabulary=vocabulary)
    model.fit(ids, ids[:, 0] % 2, verbose=0, callbacks=callbacks)


@script
def unknown_words() -> Any:
    """Token ids alone."""
    ids = np.random.default_rng(0).integers(1, 5, (64, 6))
    model = keras.Sequential(
        [layers.Embedding(5, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    callbacks = watched("unknown_words")
    model.fit(ids, ids[:, :1] / 5, verbose=0, callbacks=callbacks)


@script
def table() -> Any:
    """Rows of a table: nothing to see but numbers."""
    model = keras.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = np.random.default_rng(0).random((64, 5)).astype("float32")
    model.fit(rows, rows.sum(1), verbose=0, callbacks=watched("table"))


@script
def large_pictures() -> Any:
    """Pictures of 600 × 400 pixels."""
    pictures = np.zeros((16, 400, 600, 3), "uint8")
    pictures[:, :200] = 255
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D(),
                              layers.Dense(2, activation="softmax")])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(pictures, np.arange(16) % 2, batch_size=8, verbose=0,
              callbacks=watched("large_pictures"))  # fmt: skip


@script
def autoencoder() -> Any:
    """Pictures in, the same pictures out."""
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 3, padding="same")])
    model.compile("adam", "mse")
    model.fit(X, X, verbose=0, callbacks=watched("autoencoder"))


@script
def sentences() -> Any:
    """Strings, split into words by the model itself; TensorFlow alone knows strings."""
    if BACKEND != "tensorflow":
        return
    texts = np.array(["a very good film", "not good at all"] * 32, dtype=object)
    split = layers.TextVectorization(output_sequence_length=4)
    split.adapt(texts)
    size = split.vocabulary_size()
    model = keras.Sequential([keras.Input((), dtype="string"), split, layers.Embedding(size, 4),
                              layers.Flatten(), layers.Dense(1, activation="sigmoid")])  # fmt: skip
    model.compile("sgd", "binary_crossentropy")
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((list(texts), [1.0, 0.0] * 32)).batch(16)
    model.fit(data, verbose=0, callbacks=watched("sentences"))


def main() -> None:
    """Run the scripts named, or all."""
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    logging.getLogger("jax").setLevel(logging.ERROR)
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(SCRIPTS)
    os.chdir(folder)
    facts: dict[str, Any] = {}
    for name in names:
        keras.utils.set_random_seed(1)
        sys.stderr.write(f"--- {name}\n")
        try:
            facts[name] = {"told": SCRIPTS[name]()}
        except Exception:  # noqa: BLE001 - told to the test, which fails
            facts[name] = {"error": traceback.format_exc()}
            traceback.print_exc()
    (folder / "facts.json").write_text(json.dumps(facts, default=float))


if __name__ == "__main__":
    main()
