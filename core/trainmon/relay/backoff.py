"""How long to wait before another attempt at the link: longer each time, and never in step."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

__all__ = ["GOOD_LINK_S", "LEAST_S", "MOST_S", "Backoff"]

LEAST_S, MOST_S = 0.2, 5.0
#: A link that stood so long was good: the next loss begins with the shortest wait again.
GOOD_LINK_S = 10.0
#: At least this part of a wait is certain, the rest is chance: many relays shall not march in step.
_CERTAIN = 0.5


class Backoff:
    """The waits of one link: doubled from loss to loss, jittered, short again after a good link.

    Args:
        clock: Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # A generator of its own: nobody's sequence of random numbers is disturbed.
        self._random = random.Random()  # noqa: S311 - spreads reconnections, keeps no secret
        self._most_s = LEAST_S
        self._began_s = clock()

    def begin(self) -> None:
        """An attempt begins."""
        self._began_s = self._clock()

    def wait_s(self) -> float:
        """Return how long to wait after the attempt that has failed, or the link that is lost."""
        if self._clock() - self._began_s > GOOD_LINK_S:
            self._most_s = LEAST_S
        wait_s = self._most_s * self._random.uniform(_CERTAIN, 1.0)
        self._most_s = min(MOST_S, self._most_s * 2)
        return wait_s
