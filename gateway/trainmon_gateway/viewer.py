"""One viewer of a stream: what waits for it, bounded in bytes, and when it is due."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from grpclib.const import Status

from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import JOIN_BYTES, Frame, join, moved

__all__ = ["Demand", "Viewer", "greatest"]

DEFAULT_FRAMES_PER_SECOND = 15.0
MAX_FRAMES_PER_SECOND = 60.0
DEFAULT_TILE_SIZE = 128
MIN_TILE_SIZE, MAX_TILE_SIZE = 32, 512


@dataclass(frozen=True)
class Demand:
    """What a viewer wants of the pictures; values are brought into range.

    Args:
        frames_per_second: As in WatchSessionRequest: 0 is the default, less is none.
        tile_size: Edge in pixels, 0 is the default.
    """

    frames_per_second: float = 0.0
    tile_size: int = 0

    def __post_init__(self) -> None:
        rate = self.frames_per_second
        if rate == 0 or math.isnan(rate):
            rate = DEFAULT_FRAMES_PER_SECOND
        rate = 0.0 if rate < 0 else min(rate, MAX_FRAMES_PER_SECOND)
        tile = min(max(self.tile_size or DEFAULT_TILE_SIZE, MIN_TILE_SIZE), MAX_TILE_SIZE)
        object.__setattr__(self, "frames_per_second", rate)
        object.__setattr__(self, "tile_size", tile)

    @property
    def on_the_wire(self) -> float:
        """Return frames_per_second as WatchSessionRequest says it, where none is less than 0."""
        return self.frames_per_second or -1.0

    def covers(self, other: Demand) -> bool:
        """Tell whether who gets this also has what the other wants."""
        return (
            self.frames_per_second >= other.frames_per_second and self.tile_size >= other.tile_size
        )


def greatest(demands: list[Demand]) -> Demand:
    """Return the least that covers every demand; no pictures where there is none."""
    watching = [each for each in demands if each.frames_per_second > 0] or demands
    if not watching:
        return Demand(-1)
    return Demand(
        max(each.frames_per_second for each in watching) or -1.0,
        max(each.tile_size for each in watching),
    )


class Viewer:
    """Holds what is not yet written to one viewer.

    Events wait in a queue; of pictures only the newest waits. Pictures are written after the events
    that waited with them, with the cursor of the last of these: who resumes after a picture has had
    all that came before, and gets nothing again.

    Args:
        demand: What it wants of pictures.
        limit: Greatest number of bytes that may wait in the queue, where it is more than one event.
    """

    def __init__(self, demand: Demand, limit: int) -> None:
        self.demand = demand
        self._limit = limit
        self._events: deque[Frame] = deque()
        self._bytes = 0
        self._picture: Frame | None = None
        self._cursor = b""
        """Of the newest event."""
        self._pace_s = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._error: CallError | None = None
        self._ended = False
        self._wake = asyncio.Event()
        self._written = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """What waits in the queue, the picture aside."""
        return self._bytes

    @property
    def ended(self) -> bool:
        """Whether nothing more will be taken."""
        return self._ended

    def push(self, frame: Frame) -> None:
        """Queue an event; a queue over its limit ends the viewer with RESOURCE_EXHAUSTED."""
        if self._ended:
            return
        self._bytes += len(frame)
        self._events.append(frame)
        self._cursor = frame.cursor or self._cursor
        # One event alone is taken whatever its size: who has read all before it is not slow.
        if self._bytes > self._limit and len(self._events) > 1:
            waiting = self._bytes
            self._drop()
            self.end(
                CallError(
                    Status.RESOURCE_EXHAUSTED,
                    f"{waiting} bytes wait for this viewer, the limit is {self._limit} bytes: it "
                    "reads too slowly; resume from the last cursor",
                )
            )
        self._wake.set()

    async def has_room(self) -> None:
        """Wait until half of the queue is free, or the end."""
        while self._bytes > self._limit // 2 and not self._ended:
            self._written.clear()
            await self._written.wait()

    def show(self, picture: Frame) -> None:
        """Take a picture in place of one that still waits."""
        if not self._ended and self.demand.frames_per_second > 0:
            self._picture = picture
            self._wake.set()

    def pace(self, source: Demand) -> None:
        """Thin the pictures of a source that sends more of them than this viewer wants."""
        rate = self.demand.frames_per_second
        self._pace_s = 1 / rate if 0 < rate < source.frames_per_second else 0.0

    def end(self, error: CallError | None = None) -> None:
        """End after what waits, with this error or well."""
        if not self._ended:
            self._ended, self._error = True, error
            self._wake.set()
            self._written.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield what is to be written, until the end.

        Raises:
            CallError: The viewer was ended with it.
        """
        try:
            while True:
                self._wake.clear()
                while self._events:
                    yield self._next_events()
                if self._ended:
                    break
                if self._picture is not None and self._is_due():
                    picture, self._picture = self._picture, None
                    overtaken = self._cursor and picture.cursor != self._cursor
                    yield moved(picture, self._cursor) if overtaken else picture
                    continue
                if not self._events:
                    await self._wake.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._ended = True
            self._drop()

    def _next_events(self) -> Frame:
        first = self._events.popleft()
        size, together = len(first), [first]
        while self._events and size + len(self._events[0]) <= JOIN_BYTES:
            together.append(self._events.popleft())
            size += len(together[-1])
        self._bytes -= size
        self._written.set()
        return first if len(together) == 1 else join(together)

    def _is_due(self) -> bool:
        """Tell whether the picture may go now; where not, wake when it may."""
        if not self._pace_s:
            return True
        loop = asyncio.get_running_loop()
        now = loop.time()
        # A timer may ring a clock tick early.
        if now + 1e-3 >= self._due:
            # What is late by less than a pace is made up for: the mean rate holds, without bursts.
            late = now - self._due
            self._due = (self._due if late < self._pace_s else now) + self._pace_s
            return True
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._ring)
        return False

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    def _drop(self) -> None:
        self._events.clear()
        self._bytes = 0
        self._written.set()
        self._picture = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
