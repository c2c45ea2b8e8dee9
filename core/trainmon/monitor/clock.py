"""The two clocks: one to measure silence with, one to write into messages."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """The machine's clocks; tests put another in its place."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary moment; never goes back."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return ms since the epoch."""
        return time.time_ns() // 1_000_000
