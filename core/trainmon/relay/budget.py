"""Keeps the relay's CPU within what it may spend, by asking for fewer and smaller pictures.

Measured, not estimated: the CPU time of the whole process over each window. Above the budget the
rate falls in proportion; where it is as low as is of use, the tiles are halved. Below it, both
recover slowly, the tiles as soon as there is room for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Budget"]

_WINDOW_S = 1.0
_LEAST_RATE = 5.0
_LEAST_TILE = 32
_RECOVERY = 1.1
#: Only below this part of the budget is more asked for, or it would swing.
_SLACK = 0.8


class Budget:
    """Decides what part of the pictures wanted is asked for.

    Args:
        cores: CPU seconds per second that may be spent.
        cpu_s: The clock of CPU time; of this process, if not given.
    """

    def __init__(self, cores: float, cpu_s: Callable[[], float] = time.process_time) -> None:
        self._cores = cores
        self._cpu_s = cpu_s
        self._began_s: float | None = None
        self._began_cpu_s = 0.0
        self._part = 1.0
        self._halvings = 0
        self.used_cores = 0.0
        """Cores used in the last window."""

    @property
    def limiting(self) -> bool:
        """Whether less than wanted is asked for."""
        return self._part < 1 or self._halvings > 0

    def tick(self, now_s: float, wanted_rate: float, wanted_tile: int) -> None:
        """Measure, once a window; call often.

        Args:
            now_s: ``time.monotonic()``.
            wanted_rate: Pictures per second that viewers want.
            wanted_tile: Edge of a tile that they want.
        """
        if self._began_s is None or now_s - self._began_s >= _WINDOW_S:
            cpu_s = self._cpu_s()
            if self._began_s is not None:
                self.used_cores = (cpu_s - self._began_cpu_s) / (now_s - self._began_s)
                self._judge(wanted_rate, wanted_tile)
            self._began_s, self._began_cpu_s = now_s, cpu_s

    def _judge(self, wanted_rate: float, wanted_tile: int) -> None:
        if wanted_rate <= 0:  # nothing that could be asked for less
            return
        if self.used_cores > self._cores:
            if self._part * wanted_rate > _LEAST_RATE:
                # Never down to nothing at one blow: a second can be busy for other reasons.
                self._part *= max(0.25, self._cores / self.used_cores)
                self._part = max(self._part, min(1.0, _LEAST_RATE / wanted_rate))
            elif self.tile(wanted_tile) > _LEAST_TILE:
                self._halvings += 1
        elif self.used_cores < _SLACK * self._cores:
            # Twice the edge is four times the work.
            if self._halvings and self.used_cores < _SLACK * self._cores / 4:
                self._halvings -= 1
            else:
                self._part = min(1.0, self._part * _RECOVERY)

    def rate(self, wanted_rate: float) -> float:
        """Return the pictures per second to ask for."""
        return wanted_rate * self._part

    def tile(self, wanted_tile: int) -> int:
        """Return the edge of a tile to ask for."""
        return max(_LEAST_TILE, wanted_tile >> self._halvings)
