"""A loop that does nothing but log, at 60 Hz; obeys common.orders.

Orders: ``{"what": "log", "monitor", "monitor_pid", "name", "edge", "kind", "steps"}`` opens a
session and answers ``{"registered": true}``, goes on stepping until any order comes, measures, and
answers with what it found; ``{"what": "copy" | "encode", "edge", "kind", "steps"}`` measures the
limits.
``edge`` 0: no pictures; ``kind``: ``uint8`` or ``float32``.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

import trainmon
from common.cpu import spent_s
from common.orders import Orders
from common.paced import paced
from common.pictures import MEAN, STD, draw, normalised, photographs

SAMPLES = 16
METRICS = {"accuracy": 0.5, "grad_norm": 1.5, "perplexity": 20.0, "learning_rate": 1e-3}
#: Caches, plans and the first pages of a slot are no part of what a step costs.
_WARM = 60


@functools.cache
def batch_of(edge: int, kind: str) -> Any:
    """Return 16 pictures."""
    pictures = photographs(SAMPLES, edge)
    return pictures if kind == "uint8" else normalised(pictures)


def log(orders: Orders, order: dict[str, Any]) -> None:
    """Measure trainmon."""
    edge, kind = order["edge"], order["kind"]
    images = batch_of(edge, kind) if edge else None
    shown: dict[str, Any] = {}
    if images is not None:
        outputs = np.random.default_rng(1).normal(size=(SAMPLES, 10)).astype(np.float32)
        shown = {"images": images, "outputs": outputs, "targets": np.arange(SAMPLES) % 10}
    normalization = {"mean": MEAN, "std": STD} if kind == "float32" else None
    with trainmon.start_session(
        order["name"], monitor=order["monitor"], normalization=normalization
    ) as session:

        def call() -> None:
            session.batch_end(**shown, loss=0.5, metrics=METRICS)
            session.control_point()

        def prepare() -> None:
            if images is not None:
                draw(images[0], session.global_step)

        paced(6, call, prepare)
        orders.answer(registered=True)
        while not orders.waiting:
            paced(6, call, prepare)
        orders.next()
        paced(_WARM, call, prepare)
        pids = (session.relay_pid or 0, order["monitor_pid"])
        first, before = session.global_step, session.counts
        cpu_s = [spent_s(pid) for pid in pids]
        found = paced(order["steps"], call, prepare)
        relay_s, monitor_s = (spent_s(pid) - was for pid, was in zip(pids, cpu_s, strict=True))
        last, after = session.global_step, session.counts
    orders.answer(
        times_ms=found.times_ms,
        trainer_ms=found.cpu_ms,
        relay_ms=relay_s * 1e3,
        monitor_ms=monitor_s * 1e3,
        first=first,
        steps=last,
        bytes_copied=after["bytes_copied"] - before["bytes_copied"],
    )


def limit(orders: Orders, order: dict[str, Any]) -> None:
    """Measure what no tool can do without."""
    images = batch_of(order["edge"], order["kind"])
    target = np.empty_like(images)
    call: Callable[[], object] = functools.partial(np.copyto, target, images)
    if order["what"] == "encode":
        call = functools.partial(_encode, images)
    paced(3, call)
    found = paced(order["steps"], call)
    orders.answer(times_ms=found.times_ms, cpu_ms=found.cpu_ms)


def _encode(images: Any) -> None:
    for each in images:
        Image.fromarray(each).save(io.BytesIO(), "JPEG", quality=85)


def main() -> None:
    """Obey."""
    orders = Orders()
    for order in orders:
        (log if order["what"] == "log" else limit)(orders, order)


if __name__ == "__main__":
    main()
