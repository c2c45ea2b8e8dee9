"""What is to reach the monitor for certain: kept until acknowledged, bounded in bytes.

A record gets its sequence number when it is first sent, so whatever is thinned before leaves no
gap, and is never changed after. Under pressure key frames go first, every second one, then rows of
scalars are merged, evenly over all that waits. Epochs, states and results have room of their own
and never go; when even that is full, new ones are refused. Everything lost is counted.
"""

from __future__ import annotations

from collections import deque

from trainmon.relay.backlog import Entry, RecordKind, ScalarBacklog, metrics_of
from trainmon.relay.losses import LossCounter
from trainmon.relay.merging import rows_in
from trainmon.v1.telemetry_pb2 import TelemetryRequest

__all__ = ["Outbox"]

#: Part of the room that scalars and key frames leave to epochs, states and results.
_RESERVED_DIVISOR = 8
#: Sent and not acknowledged at most, in bytes; beyond one record.
_IN_FLIGHT_BYTES = 1 << 20


class Outbox:
    """The records to deliver.

    Args:
        limit_bytes: Most memory they may take.
        losses: Where thinning and refusals are counted.
    """

    def __init__(self, limit_bytes: int, losses: LossCounter) -> None:
        self._limit = limit_bytes
        self._losses = losses
        self._results: deque[Entry] = deque()
        self._events: deque[Entry] = deque()
        self._scalars = ScalarBacklog()
        self._key_frames = 0
        self._in_flight: deque[Entry] = deque()
        self._resend = 0
        self._in_flight_bytes = 0
        self._next_sequence = 1
        self._order = 0
        self._bytes = 0
        self._registered = False
        self.closed = False
        """Nobody will take anything any more: whatever comes is refused."""

    @property
    def bytes(self) -> int:
        """Memory taken now."""
        return self._bytes

    @property
    def empty(self) -> bool:
        """Whether everything was acknowledged."""
        return not self.count

    @property
    def count(self) -> int:
        """Records not yet acknowledged."""
        return self.unsent + len(self._in_flight)

    @property
    def unsent(self) -> int:
        """Records that were not sent yet."""
        return len(self._results) + len(self._events) + len(self._scalars)

    def add(
        self, kind: RecordKind, request: TelemetryRequest, *, last: bool = False
    ) -> Entry | None:
        """Take in a record; None: there is no room, it is counted."""
        if self.closed:
            self._losses.add(kind.value, "session_over")
            return None
        entry = Entry(kind, request.SerializeToString(), last, order=self._order)
        limit = self._limit if kind.reserved else self._limit - self._limit // _RESERVED_DIVISOR
        if entry.size > limit or not self._make_room(limit - entry.size):
            self._losses.add(kind.value, "queue_full", _records_in(entry))
            return None
        self._order += 1
        self._bytes += entry.size
        if kind is RecordKind.SCALARS:
            self._scalars.append(entry)
        else:
            # Results overtake: whoever sent a command waits for it.
            (self._results if kind is RecordKind.RESULT else self._events).append(entry)
            self._key_frames += kind is RecordKind.KEY_FRAME
        return entry

    # --- sending ----------------------------------------------------------------------------------

    def registered(self, stored_sequence: int | None) -> None:
        """Note what the monitor has of us; what it lacks of the sent is sent again."""
        stored = stored_sequence or 0
        if not self._registered:
            self._registered = True
            self._next_sequence = stored + 1
        self.acknowledge(stored)
        # Another process may have gone on under our name meanwhile.
        self._next_sequence = max(self._next_sequence, stored + 1)
        self._resend = 0

    def next(self) -> Entry | None:
        """Return the next record to send, with its sequence.

        None: there is none, or too many bytes are under way.
        """
        if self._resend < len(self._in_flight):
            self._resend += 1
            return self._in_flight[self._resend - 1]
        if self.peek() is None:
            return None
        entry = self._take()
        entry.sequence = self._next_sequence
        self._next_sequence += 1
        self._in_flight.append(entry)
        self._resend += 1
        self._in_flight_bytes += entry.size
        return entry

    def peek(self) -> Entry | None:
        """Return the record that would be sent for the first time next."""
        if self._in_flight_bytes >= _IN_FLIGHT_BYTES:
            return None
        if self._results:
            return self._results[0]
        event, scalars = self._events[0] if self._events else None, self._scalars.first
        if event is None or scalars is None:
            return event or scalars
        return event if event.order < scalars.order else scalars

    def _take(self) -> Entry:
        entry = self.peek()
        if entry is None:
            raise IndexError("nothing can be sent now")
        if entry.kind is RecordKind.SCALARS:
            return self._scalars.take()
        self._key_frames -= entry.kind is RecordKind.KEY_FRAME
        return (self._results or self._events).popleft()

    def drop_next(self, reason: str) -> None:
        """Drop the record that :meth:`peek` returned, before it has a sequence."""
        entry = self._take()
        self._bytes -= entry.size
        self._losses.add(entry.kind.value, reason, _records_in(entry))

    def acknowledge(self, sequence: int) -> None:
        """Forget everything up to ``sequence``: the monitor has it."""
        while self._in_flight and self._in_flight[0].sequence <= sequence:
            entry = self._in_flight.popleft()
            self._resend = max(0, self._resend - 1)
            self._in_flight_bytes -= entry.size
            self._bytes -= entry.size

    def close(self) -> None:
        """Drop everything, and whatever comes: the monitor will never take it."""
        waiting = (*self._results, *self._events, *self._scalars.clear())
        for entry in (*self._in_flight, *waiting):
            self._losses.add(entry.kind.value, "session_over", _records_in(entry))
        for queue in (self._results, self._events, self._in_flight):
            queue.clear()
        self._bytes = self._in_flight_bytes = self._resend = self._key_frames = 0
        self.closed = True

    # --- thinning ---------------------------------------------------------------------------------

    def _make_room(self, limit: int) -> bool:
        """Thin until at most ``limit`` bytes are taken; False where that cannot be."""
        while self._bytes > limit and self._key_frames:
            self._drop_key_frames()
        merged_before = self._scalars.merged_rows
        while self._bytes > limit and (freed := self._scalars.thin()) is not None:
            self._bytes -= freed
        merged = self._scalars.merged_rows - merged_before
        if merged:
            self._losses.add(RecordKind.SCALARS.value, "merged", merged)
        return self._bytes <= limit

    def _drop_key_frames(self) -> None:
        """Drop every second key frame; the last one too when it is alone."""
        frames = [entry for entry in self._events if entry.kind is RecordKind.KEY_FRAME]
        dropped = set(frames[::2])
        self._events = deque(entry for entry in self._events if entry not in dropped)
        self._bytes -= sum(entry.size for entry in dropped)
        self._key_frames -= len(dropped)
        self._losses.add(RecordKind.KEY_FRAME.value, "queue_full", len(dropped))


def _records_in(entry: Entry) -> int:
    return rows_in(metrics_of(entry)) if entry.kind is RecordKind.SCALARS else 1
