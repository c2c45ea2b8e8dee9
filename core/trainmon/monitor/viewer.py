"""One viewer of one session: a bounded queue, a slot for the newest picture, a pace."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from grpclib.const import Status

from trainmon.monitor.outlet import Outlet
from trainmon.monitor.wire_events import cursor_field

__all__ = [
    "DEFAULT_FRAMES_PER_SECOND",
    "DEFAULT_TILE_SIZE",
    "Demand",
    "Event",
    "Passing",
    "Picture",
    "Viewer",
]

#: Pictures per second for a viewer that does not say.
DEFAULT_FRAMES_PER_SECOND = 15.0
MAX_FRAMES_PER_SECOND = 60.0
#: Edge of a tile in pixels for a viewer that does not say.
DEFAULT_TILE_SIZE = 128
MIN_TILE_SIZE, MAX_TILE_SIZE = 32, 512
#: What an event costs beside its bytes, in bytes: the objects that hold it.
_EVENT_OVERHEAD_BYTES = 200
#: A picture may be this much early, as a part of the time between two: trainings are not clocks,
#: and dropping a picture for 2 ms would halve the rate.
_EARLY = 0.25


@dataclass(frozen=True)
class Demand:
    """What viewers want of a training."""

    frames_per_second: float = 0.0
    """0: no pictures."""
    tile_size: int = DEFAULT_TILE_SIZE
    """Edge in pixels."""

    @classmethod
    def asked(cls, frames_per_second: float, tile_size: int) -> Demand:
        """Return what a WatchSessionRequest asks for, within bounds."""
        rate = frames_per_second
        if math.isnan(rate) or rate == 0:
            rate = DEFAULT_FRAMES_PER_SECOND
        size = tile_size or DEFAULT_TILE_SIZE
        return cls(
            min(max(rate, 0.0), MAX_FRAMES_PER_SECOND),
            min(max(size, MIN_TILE_SIZE), MAX_TILE_SIZE),
        )


@dataclass(frozen=True)
class Event:
    """Something that happened, serialised for every viewer."""

    position: int
    """Ascends with the events of a session that are no pictures."""
    data: bytes
    """A WatchSessionResponse."""
    cursor: str = ""
    """Where a viewer resumes after it."""

    @property
    def cost(self) -> int:
        """What it holds in memory, in bytes."""
        return len(self.data) + _EVENT_OVERHEAD_BYTES


@dataclass(frozen=True)
class Passing:
    """What a newer one of its kind replaces: a batch, or how the session is."""

    position: int
    """Of the newest event when it was made, whose cursor it has."""
    data: bytes
    """A WatchSessionResponse."""


@dataclass(frozen=True)
class Picture(Passing):
    """A batch, serialised for every viewer."""

    has_samples: bool
    """Whether there is anything to see; a batch without samples takes no picture's place."""


class Viewer(Outlet):
    """One WatchSession stream.

    Args:
        demand: What it wants.
        limit_bytes: What may wait for it, pictures aside.
    """

    def __init__(self, demand: Demand, limit_bytes: int) -> None:
        super().__init__()
        self.demand = demand
        self._limit_bytes = limit_bytes
        self._snapshot: bytes | None = None
        self._queue: deque[Event] = deque()
        self._queued_bytes = 0
        self._picture: Picture | None = None
        self._picture_due = 0.0
        self._keep_alive: Passing | None = None
        self._sent = Event(-1, b"")
        self.pictures_dropped = 0
        """Pictures that a newer one replaced before they were sent."""

    @property
    def queued_bytes(self) -> int:
        """What waits for this viewer, pictures aside, in bytes."""
        return self._queued_bytes

    def push_snapshot(self, data: bytes) -> None:
        """Send this first; it does not count as waiting.

        There is one. Who resumes with much to catch up would else be ended for it, for ever.
        """
        self._snapshot = data
        self.wake()

    def push(self, event: Event) -> None:
        """Queue an event; the viewer is ended if that is too much for it."""
        if self.over:
            return
        if self._queued_bytes + event.cost > self._limit_bytes and self._queue:
            self._overflow()
            return
        self._queue.append(event)
        self._queued_bytes += event.cost
        self.wake()

    def push_picture(self, picture: Picture) -> None:
        """Put a picture in the place of the one that waits."""
        if self.over or self.demand.frames_per_second <= 0:
            return
        if self._picture is not None:
            if self._picture.has_samples and not picture.has_samples:
                return
            self.pictures_dropped += 1
        self._picture = picture
        self.wake()

    def push_keep_alive(self, keep_alive: Passing) -> None:
        """Put a keep-alive in the place of the one that waits."""
        if not self.over:
            self._keep_alive = keep_alive
            self.wake()

    def take(self, now: float) -> bytes | None:
        """Return the snapshot, the next event, a picture whose time has come, or a keep-alive."""
        if self._snapshot is not None:
            data, self._snapshot = self._snapshot, None
            return data
        if self._queue:
            self._sent = event = self._queue.popleft()
            self._queued_bytes -= event.cost
            return event.data
        if self._picture is not None and now >= self._picture_due - self._interval * _EARLY:
            self._picture_due = max(self._picture_due, now) + self._interval
            picture, self._picture = self._picture, None
            return self._caught_up(picture)
        if self._keep_alive is None:
            return None
        keep_alive, self._keep_alive = self._keep_alive, None
        return self._caught_up(keep_alive)

    def _caught_up(self, passing: Passing) -> bytes:
        """Return what waited while events overtook it: who resumes after it has had them.

        Of a field that comes twice the last counts.
        """
        if passing.position >= self._sent.position:
            return passing.data
        return passing.data + cursor_field(self._sent.cursor)

    def next_due(self) -> float | None:
        """Return when the picture that waits may be sent."""
        if self._picture is None:
            return None
        return self._picture_due - self._interval * _EARLY

    @property
    def _interval(self) -> float:
        return 1 / self.demand.frames_per_second

    def _overflow(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        self._snapshot = self._picture = self._keep_alive = None
        self.end(
            Status.RESOURCE_EXHAUSTED,
            f"this viewer reads too slowly: more than {self._limit_bytes} bytes of events wait for "
            "it; open the stream again with the last cursor as resume_cursor",
        )
