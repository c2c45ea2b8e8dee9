"""How fits may follow one another, be fed, and end."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras
from keras import layers
from kit import BACKEND, X, Y, convnet, script, watched


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


class _Pairs(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * 20, index * 20 + 20)
        return X[rows], Y[rows]


@script
def kinds_of_data() -> Any:
    """A PyDataset, a generator of unknown length, tf.data, a torch DataLoader, two workers."""
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
        (_Pairs(workers=2), {}),
    ]
    model = convnet()
    model.compile("adam", "sparse_categorical_crossentropy")
    callbacks = watched("kinds_of_data")
    for data, how in kinds:
        model.fit(data, verbose=0, callbacks=callbacks, **how)
    return {"batches": callbacks[0].batches}


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


class _BreaksOff(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise ValueError("the machine was taken away")


@script
def restored() -> Any:
    """Broken off in its third epoch, and gone on with by BackupAndRestore and a new model."""
    told = watched("restored")
    for callbacks in ([_BreaksOff()], told):
        model = convnet()
        model.compile("sgd", "sparse_categorical_crossentropy")
        backup = keras.callbacks.BackupAndRestore("backup")
        with suppress(ValueError):
            model.fit(X, Y, batch_size=50, epochs=4, verbose=0, callbacks=[*callbacks, backup])


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
