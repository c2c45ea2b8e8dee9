"""Training on scikit-learn's handwritten digits, shown and steered through trainmon.

Nothing here depends on whether it is watched: the same seed gives the same losses to the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainmon.demo.network import Floats, Integers, Momentum, Perceptron, cross_entropy

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["Data", "Options", "load_digits", "train"]

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SHIFTS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Options:
    """How to train."""

    epochs: int = 120
    batch_size: int = 64
    hidden: int = 96
    learning_rate: float = 0.02
    momentum: float = 0.9
    noise: float = 0.08
    """Standard deviation of the noise on the training pixels, which go from 0 to 1."""
    rate: float = 60.0
    """Batches per second to keep to; 0: as fast as it goes."""
    seed: int = 7


@dataclass(frozen=True)
class Data:
    """Pictures (N, 8, 8) from 0 to 1 with their labels (N,)."""

    images: Floats
    labels: Integers
    validation_images: Floats
    validation_labels: Integers


def load_digits(random: np.random.Generator, noise: float) -> Data:
    """Split the 1,797 digits four to one; the training part is shifted four ways and made noisy.

    Raises:
        ModuleNotFoundError: scikit-learn, which ships the digits, is not installed.
    """
    from sklearn.datasets import load_digits as load

    bunch: Any = load()
    images: Floats = bunch.images / 16
    labels: Integers = bunch.target.astype(np.int64)
    order = random.permutation(len(images))
    held_out = len(images) // 5
    train, validation = order[held_out:], order[:held_out]
    shifted = [np.roll(images[train], shift, axis=(1, 2)) for shift in _SHIFTS]
    augmented = np.concatenate(shifted)
    augmented = np.clip(augmented + random.normal(0, noise, augmented.shape), 0, 1)
    return Data(
        augmented, np.tile(labels[train], len(_SHIFTS)), images[validation], labels[validation]
    )


class _Beat:
    """Keeps to a rate by sleeping; what was late is not made up for."""

    def __init__(self, rate: float) -> None:
        self._interval_s = 1 / rate if rate > 0 else 0.0
        self._next_s = time.monotonic()

    def wait(self) -> None:
        now_s = time.monotonic()
        self._next_s = max(self._next_s + self._interval_s, now_s - self._interval_s)
        if self._next_s > now_s:
            time.sleep(self._next_s - now_s)


def _batches(count: int, size: int, random: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    order = random.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def _open(options: Options, data: Data, *, shown: bool) -> AbstractContextManager[Session | None]:
    if not shown:
        return nullcontext()
    import trainmon

    return trainmon.start_session(
        "digits",
        class_names=CLASS_NAMES,
        total_epochs=options.epochs,
        batches_per_epoch=-(-len(data.images) // options.batch_size),
        hyperparameters=asdict(options),
        normalization={"mean": [0.0], "std": [1.0]},
        framework="numpy",
        framework_version=np.__version__,
    )


def train(options: Options, *, shown: bool = True, log: Path | None = None) -> float | None:
    """Train, and return the last validation accuracy, 0 to 1; None: no epoch was finished.

    Args:
        options: How.
        shown: Whether through trainmon.
        log: Where to write each loss as a hexadecimal float, one a line; None: nowhere.
    """
    random = np.random.default_rng(options.seed)
    data = load_digits(random, options.noise)
    network = Perceptron((64, options.hidden, 10), random)
    optimizer = Momentum(network.parameters, options.learning_rate, options.momentum)
    accuracy: float | None = None
    opened: AbstractContextManager[Any] = nullcontext() if log is None else log.open("w")
    with opened as file, _open(options, data, shown=shown) as session:
        beat = _Beat(options.rate)
        for _ in range(options.epochs):
            correct = _epoch(options, data, network, optimizer, random, beat, session, file)
            loss, accuracy = _validate(network, data)
            if session is not None:
                session.epoch_end(
                    average_accuracy=correct / len(data.images),
                    validation_loss=loss,
                    validation_accuracy=accuracy,
                )
    return accuracy


def _epoch(
    options: Options,
    data: Data,
    network: Perceptron,
    optimizer: Momentum,
    random: np.random.Generator,
    beat: _Beat,
    session: Session | None,
    file: IO[str] | None,
) -> int:
    """Train one epoch and return how many samples were right."""
    correct = 0
    for chosen in _batches(len(data.images), options.batch_size, random):
        images, labels = data.images[chosen], data.labels[chosen]
        pixels = images.reshape(len(images), -1)
        logits, hidden = network.forward(pixels)
        loss, of_logits = cross_entropy(logits, labels)
        optimizer.step(network.gradients(pixels, hidden, of_logits))
        right = int((logits.argmax(axis=1) == labels).sum())
        correct += right
        if file is not None:
            file.write(f"{loss.hex()}\n")
        if session is not None:
            session.batch_end(
                images=images,
                outputs=logits,
                targets=labels,
                loss=loss,
                metrics={"accuracy": right / len(labels)},
            )
            session.control_point(optimizer)
        beat.wait()
    return correct


def _validate(network: Perceptron, data: Data) -> tuple[float, float]:
    """Return loss and accuracy on what was held out."""
    logits, _ = network.forward(data.validation_images.reshape(len(data.validation_images), -1))
    loss, _ = cross_entropy(logits, data.validation_labels)
    return loss, float((logits.argmax(axis=1) == data.validation_labels).mean())
