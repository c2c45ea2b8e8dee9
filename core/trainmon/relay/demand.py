"""What viewers want, on its way down to the training, within what relay and link can do.

Pictures for the history are few, and kept for good: what relay and link can do at the moment makes
none of them smaller.
"""

from __future__ import annotations

import time

from trainmon.channel import ControlBlock, Real, Word
from trainmon.relay.budget import Budget
from trainmon.relay.thrift import Thrift
from trainmon.v1.telemetry_pb2 import PictureLimit, SessionConfig

__all__ = ["Demand"]

_DEFAULT_TILE = 128
_MAX_RATE = 60.0
_MAX_IMAGES = 16


class Demand:
    """Writes the fields of the control block that the relay owns.

    Args:
        block: The control block.
        budget: Says what part of the pictures wanted the relay can afford.
        thrift: Says what part of them the link can carry.
    """

    def __init__(self, block: ControlBlock, budget: Budget, thrift: Thrift) -> None:
        self._block = block
        self._budget = budget
        self._thrift = thrift
        self._rate = 0.0
        self._viewers = 0
        self._tile = _DEFAULT_TILE
        self._images = _MAX_IMAGES
        self.lost()

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return self._rate > 0

    @property
    def followed(self) -> bool:
        """Whether anybody has the run before them, be it without pictures."""
        return self.watched or self._viewers > 0

    @property
    def limit(self) -> PictureLimit:
        """What keeps pictures below what is wanted; the link, where both do."""
        if self.watched and self._thrift.limiting:
            return PictureLimit.PICTURE_LIMIT_SLOW_LINK
        if self.watched and self._budget.limiting:
            return PictureLimit.PICTURE_LIMIT_OVERHEAD_BUDGET
        return PictureLimit.PICTURE_LIMIT_UNSPECIFIED

    def want(self, config: SessionConfig) -> None:
        """Take over what the monitor wants. Rates beyond 0 to 60 are brought within."""
        rate = config.frames_per_second
        self._rate = min(rate, _MAX_RATE) if rate > 0 else 0.0  # NaN is no rate either
        self._viewers = config.viewers
        self._tile = min(max(config.tile_size or _DEFAULT_TILE, 32), 512)
        self._images = min(max(config.max_images or _MAX_IMAGES, 1), _MAX_IMAGES)
        if not self.watched:  # what was learnt of the link may be long past when somebody comes
            self._thrift.reset()
        self._write()

    def found(self) -> None:
        """The link stands."""
        self._block.words[Word.LINK_LOST_NS] = 0

    def lost(self) -> None:
        """The link is lost: nobody can be watching."""
        if not self._block.words[Word.LINK_LOST_NS]:
            self._block.words[Word.LINK_LOST_NS] = time.monotonic_ns()
        self._rate, self._viewers = 0.0, 0
        self._thrift.reset()  # the next may go another way
        self._write()

    def tick(self, now_s: float) -> None:
        """Follow budget and link; call often. ``now_s`` is ``time.monotonic()``."""
        self._budget.tick(now_s, self._rate, self._tile)
        self._thrift.tick(now_s)
        self._write()

    def _write(self) -> None:
        words, reals = self._block.words, self._block.reals
        words[Word.TILE_SIZE] = self._thrift.tile(self._budget.tile(self._tile))
        words[Word.KEY_TILE_SIZE] = self._tile
        words[Word.MAX_IMAGES] = self._images
        reals[Real.FRAMES_PER_SECOND] = self._thrift.rate(self._budget.rate(self._rate))
