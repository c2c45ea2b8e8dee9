"""How a step may be made: custom, compiled, eager, several at once, in half precision."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import keras
from keras import layers
from kit import BACKEND, X, Y, convnet, script, watched


def _of_tensorflow() -> Any:
    """Return the custom step of keras.io's guide for TensorFlow."""

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

    return TensorFlowModel


def _of_torch() -> Any:
    """Return that for Torch."""

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

    return TorchModel


def _of_jax() -> Any:
    """Return that for JAX."""

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

    return JaxModel


CUSTOM = {"tensorflow": _of_tensorflow, "torch": _of_torch, "jax": _of_jax}


@script
def custom_train_step() -> Any:
    """The custom step of keras.io's guide."""
    inputs = keras.Input((8, 8, 1))
    model = CUSTOM[BACKEND]()(
        inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(inputs))
    )
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
    """Compiled as a whole: by XLA; for Torch by its own compiler, without its slow last stage."""
    model = convnet()
    with ExitStack() as stack:
        if BACKEND == "torch":
            import torch

            quick = partial(torch.compile, backend="aot_eager")
            stack.enter_context(patch.object(torch, "compile", quick))
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
        callbacks = watched("just_in_time")
        model.fit(X, Y, batch_size=48, shuffle=False, verbose=0, callbacks=callbacks)
    return {"means": callbacks[0].means}


@script
def accumulated() -> Any:
    """Weights are changed after every third batch."""
    model = convnet()
    model.compile(
        keras.optimizers.SGD(0.1, gradient_accumulation_steps=3), "sparse_categorical_crossentropy"
    )
    callbacks = watched("accumulated")
    model.fit(X, Y, shuffle=False, verbose=0, callbacks=callbacks)
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
