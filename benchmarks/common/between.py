"""What a training does between its calls: it computes, or it waits for something.

A call costs what it finds in the caches. Arithmetic on weights and activations leaves little of it
there, and a processor that slept leaves less, whatever the call does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

__all__ = ["Between", "computing", "waiting"]

#: Does something until ``time.perf_counter()`` has come there, in s.
Between = Callable[[float], None]

#: Three of them, of 4 bytes each: 12 MiB, more than a core's own caches hold.
_VALUES = 1 << 20


def computing() -> Between:
    """Return arithmetic in one thread, which lets other threads have the interpreter."""
    weights, gradients, products = (np.full(_VALUES, 0.5, np.float32) for _ in range(3))

    def compute(until_s: float) -> None:
        while time.perf_counter() < until_s:
            np.multiply(weights, gradients, out=products)

    return compute


def waiting(until_s: float) -> None:
    """Sleep, as a training that waits for its data or for an accelerator."""
    time.sleep(max(0.0, until_s - time.perf_counter()))
