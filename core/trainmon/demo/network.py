"""A multilayer perceptron with one hidden layer, its gradient by hand, and SGD with momentum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Momentum", "Perceptron", "cross_entropy"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Perceptron:
    """Pixels to logits through one hidden layer of rectified linear units.

    Args:
        sizes: Inputs, hidden units, classes.
        random: Draws the first weights (He et al. 2015, eq. 10).
    """

    def __init__(self, sizes: tuple[int, int, int], random: np.random.Generator) -> None:
        inputs, hidden, classes = sizes
        self.parameters: list[Floats] = [
            random.normal(0, np.sqrt(2 / inputs), (inputs, hidden)),
            np.zeros(hidden),
            random.normal(0, np.sqrt(2 / hidden), (hidden, classes)),
            np.zeros(classes),
        ]

    def forward(self, pixels: Floats) -> tuple[Floats, Floats]:
        """Return logits (B, classes) and hidden activations (B, hidden) of pixels (B, inputs)."""
        first, first_bias, second, second_bias = self.parameters
        hidden = np.maximum(pixels @ first + first_bias, 0)
        return hidden @ second + second_bias, hidden

    def gradients(self, pixels: Floats, hidden: Floats, of_logits: Floats) -> list[Floats]:
        """Return the gradient of each parameter, given that of the logits (B, classes)."""
        of_hidden = (of_logits @ self.parameters[2].T) * (hidden > 0)
        return [
            pixels.T @ of_hidden,
            of_hidden.sum(axis=0),
            hidden.T @ of_logits,
            of_logits.sum(axis=0),
        ]


class Momentum:
    """Stochastic gradient descent with momentum (Polyak 1964).

    Args:
        parameters: Changed in place.
        learning_rate: May be changed at any time.
        momentum: Part of the last step that is kept, from 0 to 1.
    """

    def __init__(
        self, parameters: list[Floats], learning_rate: float, momentum: float = 0.9
    ) -> None:
        self.learning_rate = learning_rate
        self.momentum = momentum
        self._parameters = parameters
        self._velocities = [np.zeros_like(each) for each in parameters]

    def step(self, gradients: list[Floats]) -> None:
        """Move every parameter against its gradient."""
        moves = zip(self._parameters, self._velocities, gradients, strict=True)
        for parameter, velocity, gradient in moves:
            velocity[...] = self.momentum * velocity - self.learning_rate * gradient
            parameter[...] = parameter + velocity


def cross_entropy(logits: Floats, labels: Integers) -> tuple[float, Floats]:
    """Return the mean loss in nats over a batch, and its gradient by the logits (B, classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    losses = np.log(totals[:, 0]) - shifted[rows, labels]
    gradient = exponentials / totals
    gradient[rows, labels] -= 1
    return float(losses.mean()), gradient / len(labels)
