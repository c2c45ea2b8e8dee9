"""A loop that logs at 60 Hz, and computes or waits between; obeys common.orders.

Orders: ``{"what": "log", "monitor", "monitor_pid", "name", "edge", "kind", "computes", "steps"}``
opens a session and answers ``{"registered": true}``, goes on stepping until any order comes,
measures, and answers with what it found; ``{"what": "copy" | "encode" | "record", "edge", "kind",
"computes", "steps"}`` measures the limits; ``{"what": "encode on", "edge", "rate"}`` answers
``{"encoding": true}`` and encodes until any order comes, which it answers with how often it did.
``edge`` 0: no pictures; ``kind``: ``uint8`` or ``float32``.
"""

from __future__ import annotations

import functools
import io
import os
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

import trainmon
from common.between import Between, computing, waiting
from common.cpu import spent_s
from common.orders import Orders
from common.paced import paced
from common.pictures import MEAN, STD, draw, normalised, photographs

SAMPLES = 16
METRICS = {"accuracy": 0.5, "grad_norm": 1.5, "perplexity": 20.0, "learning_rate": 1e-3}
#: Caches, plans and the first pages of a slot are no part of what a step costs.
_WARM = 60


#: What a record of five scalars cannot do without: when, which step, and their values and names.
_RECORD = struct.Struct("<QQQ5d80s")


@functools.cache
def _arithmetic() -> Between:
    return computing()


def between(order: dict[str, Any]) -> Between:
    """Return what an order wants done between the calls."""
    return _arithmetic() if order["computes"] else waiting


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

        rest = between(order)
        paced(6, call, prepare, between=rest)
        orders.answer(registered=True)
        while not orders.waiting:
            paced(6, call, prepare, between=rest)
        orders.next()
        paced(_WARM, call, prepare, between=rest)
        pids = (session.relay_pid or 0, order["monitor_pid"])
        first, before = session.global_step, session.counts
        cpu_s = [spent_s(pid) for pid in pids]
        found = paced(order["steps"], call, prepare, between=rest)
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
    call: Callable[[], object]
    if order["what"] == "record":
        call = functools.partial(_record, bytearray(_RECORD.size))
    else:
        images = batch_of(order["edge"], order["kind"])
        call = functools.partial(np.copyto, np.empty_like(images), images)
        if order["what"] == "encode":
            call = functools.partial(_encode, images)
    rest = between(order)
    paced(3, call, between=rest)
    found = paced(order["steps"], call, between=rest)
    orders.answer(times_ms=found.times_ms, cpu_ms=found.cpu_ms)


def encode_on(orders: Orders, order: dict[str, Any]) -> None:
    """Encode at a rate, giving way to others as a relay does, until another order comes."""
    _give_way()
    # Of normalised pictures, too, the bytes: to bring them there can be done in many ways.
    call = functools.partial(_encode, batch_of(order["edge"], "uint8"))
    orders.answer(encoding=True)
    pictures = 0
    while not orders.waiting:
        pictures += len(paced(6, call, rate=order["rate"]).times_ms)
    orders.next()
    orders.answer(pictures=pictures)


def _give_way() -> None:
    os.nice(5)
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _record(target: bytearray) -> None:
    now_ns = time.monotonic_ns()
    _RECORD.pack_into(target, 0, now_ns, 1, 1, 0.5, 0.5, 1.5, 20.0, 1e-3, b"names")
    time.monotonic_ns()


def _encode(images: Any) -> None:
    for each in images:
        Image.fromarray(each).save(io.BytesIO(), "JPEG", quality=85)


def main() -> None:
    """Obey."""
    orders = Orders()
    obeys = {"log": log, "encode on": encode_on}
    for order in orders:
        obeys.get(order["what"], limit)(orders, order)


if __name__ == "__main__":
    main()
