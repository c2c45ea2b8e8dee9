"""Sends less of pictures while the link to the monitor is slow, and more again when it is not.

Where a picture is offered while the one before it still waits to be sent, the link carries no more.
If that happens to a good part of them for seconds, the next are of lower quality; then they come
less often, then smaller. Now and then more is tried, the more seldom the oftener it was too much.
"""

from __future__ import annotations

import math

__all__ = ["Thrift"]

#: Part of the rate, halvings of a tile's edge and greatest quality of JPEGs, level by level.
_LADDER = (
    (1.0, 0, 95),
    (1.0, 0, 70),
    (1.0, 0, 50),
    (1 / 2, 0, 50),
    (1 / 2, 1, 50),
    (1 / 4, 1, 50),
    (1 / 8, 1, 50),
    (1 / 16, 2, 50),
)
_LEAST_RATE = 1.0
_LEAST_TILE = 32
_WINDOW_S = 1.0
#: A link is slow that lets a picture wait for more than this part of those offered.
_LATE = 0.25
#: One slow window is a hiccup, which takes back one quick one.
_SLOW_WINDOWS = 2
#: After so many quick windows more is tried; each time that was too much, twice as many, and half
#: as many each time it was not.
_PATIENCE, _MOST_PATIENCE = 3, 32
#: More that lasted for so many windows was not too much.
_PROVEN_WINDOWS = 5


class Thrift:
    """Decides what part of the pictures wanted the link can carry. Pure."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: another link, or nobody watches."""
        self._level = 0
        self._ends_s: float | None = None
        self._offered = self._late = 0
        self._slow_windows = self._quick_windows = 0
        self._patience = _PATIENCE
        self._since_more = math.inf
        self._unproven = False
        self._resting = False

    @property
    def limiting(self) -> bool:
        """Whether less than wanted is sent."""
        return self._level > 0

    def offered(self, *, late: bool) -> None:
        """Note that a picture was offered to the link; ``late``: the one before still waited."""
        self._offered += 1
        self._late += late

    def tick(self, now_s: float) -> None:
        """Judge, once a window; call often. ``now_s`` is ``time.monotonic()``."""
        if self._ends_s is None:
            self._ends_s = now_s + _WINDOW_S
        if now_s < self._ends_s:
            return
        self._ends_s = now_s + _WINDOW_S
        offered, late = self._offered, self._late
        self._offered = self._late = 0
        if not offered:  # says nothing
            return
        self._since_more += 1
        if self._resting:  # what is on its way was made before
            self._resting = False
        elif late > _LATE * offered:
            self._slow()
        else:
            self._quick()

    def _slow(self) -> None:
        self._slow_windows += 1
        if self._slow_windows < _SLOW_WINDOWS:
            self._quick_windows = max(0, self._quick_windows - 1)
            return
        self._quick_windows = 0
        if self._level == len(_LADDER) - 1:
            return
        if self._since_more <= _PROVEN_WINDOWS:
            self._patience = min(_MOST_PATIENCE, self._patience * 2)
        self._change(1)
        self._unproven = False

    def _quick(self) -> None:
        self._slow_windows = 0
        self._quick_windows += 1
        if self._unproven and self._since_more > _PROVEN_WINDOWS:
            self._unproven = False
            self._patience = max(_PATIENCE, self._patience // 2)
        if self._level == 0:
            if self._quick_windows > _PROVEN_WINDOWS:
                self._patience = _PATIENCE
        elif self._quick_windows >= self._patience:
            self._change(-1)
            self._since_more = 0
            self._unproven = True

    def _change(self, by: int) -> None:
        self._level += by
        self._slow_windows = self._quick_windows = 0
        self._resting = True

    def rate(self, wanted_rate: float) -> float:
        """Return the pictures per second to ask for."""
        part = _LADDER[self._level][0]
        return min(wanted_rate, max(_LEAST_RATE, wanted_rate * part))

    def tile(self, wanted_tile: int) -> int:
        """Return the edge of a tile to ask for."""
        return max(_LEAST_TILE, wanted_tile >> _LADDER[self._level][1])

    def quality(self, wanted_quality: int) -> int:
        """Return the quality of JPEGs to send."""
        return min(wanted_quality, _LADDER[self._level][2])
