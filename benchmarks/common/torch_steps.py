"""A real Torch training that times its own steps; obeys common.orders.

An order ``{"kind", "edge", "tiles", "monitor", "name", "steps"}`` is answered with
``{"registered": true}`` after some steps, which go on until any order comes; then the model and its
data begin anew, and the answer tells mean and p99 of the steps in ms and the loss of the last, bit
for bit. No ``monitor``: without trainmon; ``tiles`` are then copied 60 times a second, and that is
all. ``kind``: the pictures, of ``edge`` pixels, are ``uint8``, which the step turns into numbers,
or ``float32``, normalised before the training.
"""

from __future__ import annotations

import functools
import time
from contextlib import nullcontext
from typing import Any

import torch

import trainmon
from common.orders import Orders
from common.paced import RATE
from common.pictures import MEAN, STD, draw, normalised, photographs
from common.report import percentile

BATCH, _PICTURES, _CLASSES = 16, 64, 10
#: Into so many parts the first layer takes an edge, of any picture: sizes differ in nothing else.
_PARTS = 32
_WARM = 20


@functools.cache
def data(kind: str, edge: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures (N, 3, edge, edge) and their classes."""
    pictures = photographs(_PICTURES, edge)
    x = normalised(pictures) if kind == "float32" else pictures.transpose(0, 3, 1, 2).copy()
    return torch.from_numpy(x), torch.arange(_PICTURES) % _CLASSES


class Training:
    """A small network, at its beginning."""

    def __init__(self, kind: str, edge: int) -> None:
        self._x, self._y = data(kind, edge)
        stride = edge // _PARTS
        self._random = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self._network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, stride + 1, stride=stride),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, stride=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(32, 32, 3, stride=2),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.LazyLinear(_CLASSES),
        )
        self._network(torch.zeros(1, 3, edge, edge))
        self.optimizer = torch.optim.SGD(self._network.parameters(), lr=1e-3, momentum=0.9)
        self.loss = 0.0
        self._copied_s = 0.0
        self._copy = torch.empty_like(self._x[:BATCH])

    def step(self, session: Any, tiles: bool, number: int) -> None:
        """Train on one batch."""
        chosen = torch.randint(0, len(self._x), (BATCH,), generator=self._random)
        images, labels = self._x[chosen], self._y[chosen]
        inputs = images if images.dtype is torch.float32 else images.float().div_(255)
        logits = self._network(inputs)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.loss = loss.item()
        draw(images[0], number)  # only now: what is computed does not depend on when it began
        if session is None:
            if tiles and time.perf_counter() - self._copied_s >= 1 / RATE:
                self._copied_s = time.perf_counter()
                self._copy.copy_(images)
            return
        shown = {"images": images, "outputs": logits, "targets": labels} if tiles else {}
        metrics = {"accuracy": 0.5, "grad_norm": 1.5, "perplexity": 20.0, "margin": 0.1}
        session.batch_end(**shown, loss=self.loss, metrics=metrics)
        session.control_point(self.optimizer)


def measure(orders: Orders, order: dict[str, Any]) -> None:
    """Train and tell."""
    kind, tiles = order["kind"], order["tiles"]
    normalization = {"mean": MEAN, "std": STD} if kind == "float32" else None
    opened: Any = (
        trainmon.start_session(order["name"], monitor=order["monitor"], normalization=normalization)
        if order["monitor"]
        else nullcontext()
    )
    times = []
    with opened as session:
        number = 0

        def step(training: Training) -> float:
            nonlocal number
            started = time.perf_counter()
            training.step(session, tiles, number)
            number += 1
            return (time.perf_counter() - started) * 1e3

        training = Training(kind, order["edge"])
        for _ in range(_WARM):
            step(training)
        orders.answer(registered=True)
        while not orders.waiting:
            step(training)
        orders.next()
        training = Training(kind, order["edge"])
        for _ in range(_WARM):
            step(training)
        first = number
        times = [step(training) for _ in range(order["steps"])]
    orders.answer(
        mean=sum(times) / len(times),
        p99=percentile(times, 0.99),
        loss=training.loss.hex(),
        first=first,
        steps=number,
        bytes_copied=session.counts["bytes_copied"] if session else 0,
    )


def main() -> None:
    """Obey."""
    torch.set_num_threads(1)
    orders = Orders()
    for order in orders:
        measure(orders, order)


if __name__ == "__main__":
    main()
