"""Steps at the rate of a training, and how long their calls took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.between import Between, waiting

__all__ = ["RATE", "Paced", "paced"]

#: Steps per second.
RATE = 60.0


@dataclass
class Paced:
    """What calls have cost."""

    times_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    """CPU of the thread that called, all calls together."""
    between_ms: float = 0.0
    """CPU of that thread between them."""


def paced(
    steps: int,
    call: Callable[[], object],
    prepare: Callable[[], object] = lambda: None,
    limit_s: float = float("inf"),
    least: int = 3,
    between: Between = waiting,
    rate: float = RATE,
) -> Paced:
    """Call at some rate, or as fast as it goes where a call takes longer.

    Args:
        steps: Calls.
        call: What is measured.
        prepare: Called before each, not measured.
        limit_s: After so long no more calls are made.
        least: But these are.
        between: What is done from one to the next.
        rate: Calls per second.
    """
    found = Paced()
    due = began = time.perf_counter()
    for step in range(steps):
        prepare()
        cpu_s = time.thread_time()
        started = time.perf_counter()
        call()
        ended = time.perf_counter()
        found.cpu_ms += (time.thread_time() - cpu_s) * 1e3
        found.times_ms.append((ended - started) * 1e3)
        if ended - began > limit_s and step + 1 >= least:
            break
        due = max(due + 1 / rate, ended - 1 / rate)
        cpu_s = time.thread_time()
        between(due)
        found.between_ms += (time.thread_time() - cpu_s) * 1e3
    return found
