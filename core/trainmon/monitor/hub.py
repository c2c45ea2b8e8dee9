"""Viewers of one session: what happened goes to each of them, what they want to the training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count

from grpclib.const import Status

from trainmon.monitor.clock import Clock
from trainmon.monitor.viewer import Demand, Event, Passing, Picture, Viewer
from trainmon.monitor.wire_events import EventField, encode_event

__all__ = ["LOWER_AFTER_S", "DemandGauge", "Hub"]

#: How long less demand must last before the training is told, in seconds: a page that reloads
#: shall not stop the pictures.
LOWER_AFTER_S = 2.0
#: Digits of a position in a cursor.
_POSITION_DIGITS = 40
#: A position is that of the newest event the store has, and above these bits a count of all events.
_COUNT_BITS = 64


class DemandGauge:
    """The greatest demand of all viewers: up at once, down only when it stays down. Pure."""

    def __init__(self) -> None:
        self.now = Demand()
        self._lower_at: float | None = None

    def update(self, wanted: Demand, now: float) -> bool:
        """Take note of what viewers want at a time in seconds; return whether demand changed."""
        before = self.now
        tile_size = wanted.tile_size
        if before.frames_per_second:
            tile_size = max(tile_size, before.tile_size)
        raised = Demand(max(wanted.frames_per_second, before.frames_per_second), tile_size)
        if wanted == raised:
            self._lower_at = None
        elif self._lower_at is None:
            self._lower_at = now + LOWER_AFTER_S
        elif now >= self._lower_at:
            self._lower_at = None
            raised = wanted
        self.now = raised
        return raised != before


class Hub:
    """What happened in one session, for viewers now and for those who resume.

    Who resumes may come from an earlier monitor. What the store has keeps its position there; what
    it has not (rates, errors as they happen) is told apart by a count that no two monitors share.

    Args:
        identity: Names the store and this session's time in it; the first half of every cursor.
        viewer_bytes: What may wait for one viewer.
        clock: The clocks.
        on_demand: Called when what viewers want has changed.
        counter: Counts events, ascending; beyond what an earlier hub of the session counted.
    """

    def __init__(
        self,
        identity: str,
        viewer_bytes: int,
        clock: Clock,
        on_demand: Callable[[], None],
        counter: Iterator[int] | None = None,
    ) -> None:
        self._identity = identity
        self._viewer_bytes = viewer_bytes
        # Less than a viewer's queue, so that catching up cannot overflow it.
        self._ring_limit_bytes = viewer_bytes // 4
        self._clock = clock
        self._on_demand = on_demand
        self._gauge = DemandGauge()
        self._viewers: dict[Viewer, None] = {}
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._counter = count(1) if counter is None else counter
        self._position = 0
        self._floor = 0

    @property
    def cursor(self) -> str:
        """Where a viewer resumes after everything so far."""
        return self.cursor_at(self._position)

    def cursor_at(self, position: int) -> str:
        """Return the cursor of a position."""
        return f"{self._identity}:{position}"

    @property
    def demand(self) -> Demand:
        """What the viewers want, all together."""
        return self._gauge.now

    @property
    def viewers(self) -> int:
        """How many there are."""
        return len(self._viewers)

    def restore(self, position: int, floor: int, events: Iterable[tuple[int, int, bytes]]) -> None:
        """Take over what the store has, before anything is published.

        Args:
            position: Of the newest thing there.
            floor: After this one, the events are all there were.
            events: Position, field of :class:`EventField` and payload of each, ascending.
        """
        self._floor = floor << _COUNT_BITS
        for at, field, payload in events:
            self._position = at << _COUNT_BITS
            self._keep(field, payload)
        self._position = position << _COUNT_BITS | next(self._counter)

    def publish(self, field: int, payload: bytes, stored: int | None = None) -> None:
        """Tell every viewer, and keep it for those who resume. O(1) per viewer.

        Args:
            field: Which event, of :class:`EventField`.
            payload: The event's own message, serialised.
            stored: Its position in the store; None: it is not there, or has none.
        """
        newest = max(stored or 0, self._position >> _COUNT_BITS)
        self._position = newest << _COUNT_BITS | next(self._counter)
        event = self._keep(field, payload)
        for viewer in self._viewers:
            viewer.push(event)

    def _keep(self, field: int, payload: bytes) -> Event:
        cursor = self.cursor
        data = encode_event(field, payload, self._clock.wall_ms(), cursor)
        event = Event(self._position, data, cursor)
        self._ring.append(event)
        self._ring_bytes += event.cost
        while self._ring_bytes > self._ring_limit_bytes:
            gone = self._ring.popleft()
            self._floor = gone.position
            self._ring_bytes -= gone.cost
        return event

    def publish_picture(
        self, payload: Callable[[], bytes | memoryview], *, has_samples: bool
    ) -> None:
        """Show a batch to every viewer who has time for it; serialised only if there is one."""
        if self.demand.frames_per_second <= 0 or not self._viewers:
            return
        data = encode_event(EventField.BATCH_DATA, payload(), self._clock.wall_ms(), self.cursor)
        picture = Picture(self._position, data, has_samples)
        for viewer in self._viewers:
            viewer.push_picture(picture)

    def keep_alive(self, payload: bytes) -> None:
        """Tell every viewer that the link lives, and how the session is."""
        data = encode_event(EventField.KEEP_ALIVE, payload, self._clock.wall_ms(), self.cursor)
        passing = Passing(self._position, data)
        for viewer in self._viewers:
            viewer.push_keep_alive(passing)

    def known(self, cursor: str) -> int | None:
        """Return the position of a cursor from which nothing is lost; None where it is unknown."""
        identity, _, text = cursor.rpartition(":")
        if identity != self._identity or not (text.isascii() and text.isdigit()):
            return None
        position = int(text) if len(text) <= _POSITION_DIGITS else -1
        return position if self._floor <= position <= self._position else None

    def viewer(self, demand: Demand) -> Viewer:
        """Return a new viewer, not yet added."""
        return Viewer(demand, self._viewer_bytes)

    def add(self, viewer: Viewer, snapshot: bytes, position: int) -> None:
        """Add a viewer: the snapshot first, then what happened after ``position``.

        Args:
            viewer: Who.
            snapshot: A SessionSnapshot, serialised.
            position: Of the cursor it has seen; :meth:`known`, or the newest.
        """
        data = encode_event(
            EventField.SNAPSHOT, snapshot, self._clock.wall_ms(), self.cursor_at(position)
        )
        viewer.push_snapshot(data)
        for event in self._ring:
            if event.position > position:
                viewer.push(event)
        self._viewers[viewer] = None
        self.measure_demand(told=True)

    @property
    def position(self) -> int:
        """The position of the newest event."""
        return self._position

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer; the training is told when nobody takes its place."""
        self._viewers.pop(viewer, None)
        self.measure_demand(told=True)

    def measure_demand(self, *, told: bool = False) -> None:
        """Look what viewers want now. Call it from time to time: demand falls with a delay.

        Args:
            told: Tell the training even if nothing but the number of viewers has changed.
        """
        watching = [each.demand for each in self._viewers if each.demand.frames_per_second > 0]
        wanted = Demand(
            max((each.frames_per_second for each in watching), default=0.0),
            max((each.tile_size for each in watching), default=Demand().tile_size),
        )
        if self._gauge.update(wanted, self._clock.monotonic()) or told:
            self._on_demand()

    def end(self, status: Status, reason: str) -> None:
        """End every viewer's stream."""
        for viewer in tuple(self._viewers):
            viewer.end(status, reason)
