"""The loop that all rivals' runners share; obeys common.orders, needs NumPy and Pillow only.

An order ``{"edge", "kind", "steps", "limit_s"}`` is answered with the time of each call, and the
CPU per step of all the tool's processes until they rest.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from common.between import computing
from common.cpu import settled_s
from common.orders import Orders
from common.paced import paced
from common.pictures import MEAN, STD, draw, normalised, photographs

__all__ = ["Rival", "run"]

SAMPLES = 16
SCALARS = {
    "loss": 0.5,
    "accuracy": 0.5,
    "grad_norm": 1.5,
    "perplexity": 20.0,
    "learning_rate": 1e-3,
}


class Rival(Protocol):
    """A tool that logs."""

    def log(self, step: int, scalars: Mapping[str, float], images: Sequence[Any]) -> None:
        """Log a step; images are (H, W, 3) of bytes, perhaps none."""

    def close(self) -> None:
        """Write what is left."""


def run(package: str, start: Callable[[Path], Rival]) -> None:
    """Obey.

    Args:
        package: Distribution whose version is told.
        start: Makes the tool log into a folder.
    """
    orders = Orders()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["HOME"] = folder  # nothing of the user's is read, and nothing is left there
        rival = start(Path(folder))
        orders.answer(version=version(package))
        step = 0
        for order in orders:
            step = _measure(orders, order, rival, step)
        rival.close()


def _measure(orders: Orders, order: dict[str, Any], rival: Rival, step: int) -> int:
    given, shown = _images(order["edge"], order["kind"])

    def call() -> None:
        nonlocal step
        rival.log(step, SCALARS, shown())
        step += 1

    def prepare() -> None:
        if given is not None:
            draw(given[0], step)

    rest = computing()
    paced(1 if order["edge"] else 10, call, prepare, between=rest)
    before_s = settled_s()
    found = paced(order["steps"], call, prepare, order["limit_s"], least=2, between=rest)
    cpu_s = settled_s() - before_s - found.between_ms / 1e3
    orders.answer(times_ms=found.times_ms, cpu_ms=cpu_s * 1e3)
    return step


def _images(edge: int, kind: str) -> tuple[Any, Callable[[], Sequence[Any]]]:
    """Return a batch, and what makes it what these tools take: what was normalised is undone."""
    if not edge:
        return None, tuple
    pictures = photographs(SAMPLES, edge)
    if kind == "uint8":
        return pictures, lambda: pictures
    batch = normalised(pictures)
    mean, std = (np.float32(each) for each in (MEAN, STD))

    def undone() -> Any:
        scaled = (batch.transpose(0, 2, 3, 1) * std + mean) * np.float32(255)
        return scaled.clip(0, 255).astype(np.uint8)

    return batch, undone
