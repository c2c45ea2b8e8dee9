"""keras.io's way of training a GAN: one step with two optimizers and losses of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers
from kit import BACKEND, X, script, watched


class Gan(keras.Model):
    """A generator and a discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential(
            [keras.Input((4,)), layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))]
        )
        self.discriminator = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)]
        )
        self.of_generator = keras.metrics.Mean(name="generator_loss")
        self.of_discriminator = keras.metrics.Mean(name="discriminator_loss")
        self.judge = keras.losses.BinaryCrossentropy(from_logits=True)

    def call(self, pictures: Any) -> Any:
        """Judge pictures; Keras builds the model by it."""
        return self.discriminator(pictures)

    def compile(self, first: Any, second: Any) -> None:
        """Take an optimizer for each."""
        super().compile()
        self.first, self.second = first, second

    @property
    def metrics(self) -> list[Any]:
        """Both losses."""
        return [self.of_generator, self.of_discriminator]

    def _both(self, real: Any) -> tuple[Any, Any]:
        drawn = self.generator(keras.random.normal((len(X[:20]), 4)))
        true, false = self.discriminator(real), self.discriminator(drawn)
        one, zero = keras.ops.ones_like(true), keras.ops.zeros_like(false)
        second = self.judge(one, true) + self.judge(zero, false)
        return self.judge(one, false), second

    def train_step(self, real: Any) -> Any:
        """Train both on one batch."""
        parts = (self.generator, self.first), (self.discriminator, self.second)
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape(persistent=True) as tape:
                losses = self._both(real)
            for (part, optimizer), loss in zip(parts, losses, strict=True):
                gradients = tape.gradient(loss, part.trainable_weights)
                optimizer.apply(gradients, part.trainable_weights)
        else:
            import torch

            losses = self._both(real)
            for (part, optimizer), loss in zip(parts, losses, strict=True):
                weights = list(part.trainable_weights)
                gradients = torch.autograd.grad(
                    loss, [each.value for each in weights], retain_graph=True
                )
                with torch.no_grad():
                    optimizer.apply(list(gradients), weights)
        self.of_generator.update_state(losses[0])
        self.of_discriminator.update_state(losses[1])
        return {metric.name: metric.result() for metric in self.metrics}


@script
def gan() -> Any:
    """Pictures without truth; a JAX step has but one optimizer, so there it is not written so."""
    if BACKEND == "jax":
        return
    model = Gan()
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-3))
    model.fit(X, batch_size=20, verbose=0, callbacks=watched("gan"))
