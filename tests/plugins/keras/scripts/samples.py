"""What may be in a batch: kinds of pictures, texts, targets and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from kit import BACKEND, X, Y, convnet, script, watched


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
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 1)])
    # Of probabilities, Keras 3.15 on Torch 2.13 cannot make gradients here.
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
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
def detection() -> Any:
    """True boxes in a dict, padded to the same number; the model predicts one box a picture."""

    class Detector(keras.Model):
        bounding_box_format = "rel_xywh"

        def __init__(self) -> None:
            super().__init__()
            self.flat, self.dense = layers.Flatten(), layers.Dense(4)

        def call(self, x: Any) -> Any:
            return {"boxes": keras.ops.expand_dims(self.dense(self.flat(x)), 1)}

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
        ) -> Any:
            return keras.ops.mean((y_pred["boxes"] - y["boxes"][:, :1]) ** 2)

    pictures = np.zeros((32, 600, 300, 1), "float32")
    boxes = np.zeros((32, 3, 4), "float32")
    boxes[:, 0] = 0.25, 0.5, 0.5, 0.25
    boxes[:, 1] = 0.0, 0.0, 1.0, 0.5
    labels = np.tile(np.array([1, 0, -1]), (32, 1))
    model = Detector()
    model.compile("sgd")
    callbacks = watched("detection", class_names=["cat", "dog"])
    model.fit(pictures, {"boxes": boxes, "labels": labels}, batch_size=16, verbose=0,
              callbacks=callbacks)  # fmt: skip


@script
def autoencoder() -> Any:
    """Pictures in, the same pictures out."""
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 3, padding="same")])
    model.compile("adam", "mse")
    model.fit(X, X, verbose=0, callbacks=watched("autoencoder"))


@script
def channels_first() -> Any:
    """Pictures of three colours, the colours first, normalised beforehand."""
    model = keras.Sequential(
        [keras.Input((3, 8, 8)), layers.Permute((2, 3, 1)), layers.Flatten(),
         layers.Dense(10, activation="softmax")]
    )  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = (np.repeat(X, 3, axis=3).transpose(0, 3, 1, 2) - 0.5) / 0.25
    normalization = {"mean": [0.5] * 3, "std": [0.25] * 3}
    callbacks = watched("channels_first", normalization=normalization)
    model.fit(x, Y, verbose=0, callbacks=callbacks)
    return {"predicted": model.predict(x, verbose=0).shape}


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


@script
def normalised() -> Any:
    """Every pixel was 0.8, and was normalised; the line says how."""
    model = convnet()
    model.compile("sgd", "sparse_categorical_crossentropy")
    told = watched("normalised", normalization={"mean": [0.5], "std": [0.25]})
    model.fit(X * 0 + (0.8 - 0.5) / 0.25, Y, verbose=0, callbacks=told)


def _folders() -> Any:
    """Return Keras' own dataset of folders of pictures, each named as its class is."""
    from PIL import Image

    for name in ("cat", "dog"):
        folder = Path("pictures", name)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(8):
            Image.new("L", (8, 8), 20 * number).save(folder / f"{number}.png")
    return keras.utils.image_dataset_from_directory(
        "pictures", image_size=(8, 8), batch_size=8, color_mode="grayscale", verbose=False
    )


def _fit_folders(name: str, data: Any) -> None:
    model = convnet(classes=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(data, verbose=0, callbacks=watched(name))


@script
def image_folders() -> Any:
    """As Keras gives it."""
    _fit_folders("image_folders", _folders())


@script
def image_folders_mapped() -> Any:
    """Mapped and fetched ahead, as tutorials do, which loses the names."""
    data = _folders().map(lambda x, y: (x / 255, y)).cache().prefetch(1)
    assert not hasattr(data, "class_names")
    _fit_folders("image_folders_mapped", data)
