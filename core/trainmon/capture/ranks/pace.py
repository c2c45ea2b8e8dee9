"""How far ahead a command must lie, so that every rank has agreed to it by then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["StepPace"]

_NEWEST_COUNTS = 0.2
_LEAST_VISITS = 2


class StepPace:
    """Measures how long a visit of a control point takes, and how many steps it goes on.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._step: int | None = None
        self._at_s = 0.0
        self._visit_s: float | None = None
        self._stride = 1

    def mark(self, step: int) -> None:
        """Note a visit. Those of the same step, of a pause or an evaluation, do not count."""
        now_s = self._clock()
        before, self._step = self._step, step
        since_s, self._at_s = now_s - self._at_s, now_s
        if before is None or step <= before:
            return
        self._stride = step - before
        known = self._visit_s
        self._visit_s = since_s if known is None else known + _NEWEST_COUNTS * (since_s - known)

    def step_after(self, lead_s: float) -> int | None:
        """Return the step that lies that far ahead; None while the pace is not known."""
        if self._step is None or self._visit_s is None:
            return None
        visits = math.ceil(lead_s / max(self._visit_s, 1e-6))
        return self._step + max(_LEAST_VISITS, visits) * self._stride
