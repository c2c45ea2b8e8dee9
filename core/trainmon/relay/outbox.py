"""What is to reach the monitor for certain: kept until acknowledged, bounded in bytes.

A record gets its sequence number when it is first sent, so whatever is thinned before leaves no
gap, and is never changed after. Under pressure key frames go first, every second one, then rows of
scalars are merged, in turns from the oldest to the newest, so that all of the past thins evenly.
Epochs, states and results have room of their own and never go; when even that is full, new ones
are refused. Everything lost is counted.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from trainmon.relay.losses import LossCounter
from trainmon.relay.merging import halve, join, rows_in
from trainmon.v1.telemetry_pb2 import MetricData, TelemetryRequest

__all__ = ["Entry", "Outbox", "RecordKind"]

#: Part of the room that scalars and key frames leave to epochs, states and results.
_RESERVED_DIVISOR = 8
#: Sent and not acknowledged at most, in bytes; beyond one record.
_IN_FLIGHT_BYTES = 1 << 20
#: What an entry costs beside its message, in bytes.
_ENTRY_BYTES = 200


class RecordKind(Enum):
    """What a record is; the value names it in LossCount.kind."""

    SCALARS = "scalars"
    KEY_FRAME = "key_frame"
    EPOCH = "epoch"
    STATUS = "status"
    RESULT = "command_result"

    @property
    def reserved(self) -> bool:
        """Whether it has room of its own and is never thinned."""
        return self not in (RecordKind.SCALARS, RecordKind.KEY_FRAME)


@dataclass(eq=False)
class Entry:
    """One record: its message, serialised, without session and sequence."""

    kind: RecordKind
    message: bytes
    last: bool = False
    """The state after which nothing comes."""
    sequence: int = 0
    """0: not sent yet."""

    @property
    def size(self) -> int:
        """Bytes of memory it takes."""
        return sys.getsizeof(self.message) + _ENTRY_BYTES


class Outbox:
    """The records to deliver.

    Args:
        limit_bytes: Most memory they may take.
        losses: Where thinning and refusals are counted.
    """

    def __init__(self, limit_bytes: int, losses: LossCounter) -> None:
        self._limit = limit_bytes
        self._losses = losses
        # A list with its front cut off now and then: thinning works in its midst.
        self._unsent: list[Entry] = []
        self._head = 0
        self._key_frames = 0
        self._results: deque[Entry] = deque()
        self._in_flight: deque[Entry] = deque()
        self._resend = 0
        self._in_flight_bytes = 0
        self._next_sequence = 1
        self._cursor = 0
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
        return not (self._head < len(self._unsent) or self._results or self._in_flight)

    @property
    def acknowledged(self) -> int:
        """The sequence up to which the monitor has everything."""
        return (self._in_flight[0].sequence if self._in_flight else self._next_sequence) - 1

    @property
    def count(self) -> int:
        """Records not yet acknowledged."""
        return self.unsent + len(self._in_flight)

    @property
    def unsent(self) -> int:
        """Records that were not sent yet."""
        return len(self._unsent) - self._head + len(self._results)

    def add(
        self, kind: RecordKind, request: TelemetryRequest, *, last: bool = False
    ) -> Entry | None:
        """Take in a record; None: there is no room, it is counted."""
        if self.closed:
            self._losses.add(kind.value, "session_over")
            return None
        entry = Entry(kind, request.SerializeToString(), last)
        limit = self._limit if kind.reserved else self._limit - self._limit // _RESERVED_DIVISOR
        if entry.size > limit or not self._make_room(limit - entry.size):
            self._losses.add(kind.value, "queue_full", _records_in(entry))
            return None
        self._bytes += entry.size
        # Results overtake: whoever sent a command waits for it.
        (self._results if kind is RecordKind.RESULT else self._unsent).append(entry)
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
        return self._unsent[self._head] if self._head < len(self._unsent) else None

    def _take(self) -> Entry:
        if self._results:
            return self._results.popleft()
        entry = self._unsent[self._head]
        self._head += 1
        self._key_frames -= entry.kind is RecordKind.KEY_FRAME
        if self._head * 2 > len(self._unsent):
            self._cut()
        return entry

    def _cut(self) -> None:
        del self._unsent[: self._head]
        self._cursor = max(0, self._cursor - self._head)
        self._head = 0

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
        for entry in (*self._in_flight, *self._results, *self._unsent[self._head :]):
            self._losses.add(entry.kind.value, "session_over", _records_in(entry))
        self._unsent.clear()
        self._results.clear()
        self._in_flight.clear()
        self._bytes = self._in_flight_bytes = self._resend = self._cursor = self._head = 0
        self._key_frames = 0
        self.closed = True

    # --- thinning ---------------------------------------------------------------------------------

    def _make_room(self, limit: int) -> bool:
        """Thin until at most ``limit`` bytes are taken; False where that cannot be."""
        if self._bytes <= limit:
            return True
        self._cut()
        thinners: tuple[Callable[[], bool], ...] = (self._drop_key_frames, self._merge_scalars)
        for thin in thinners:
            while self._bytes > limit and thin():
                pass
        return self._bytes <= limit

    def _drop_key_frames(self) -> bool:
        """Drop every second key frame; the last one too when it is alone."""
        if not self._key_frames:
            return False
        frames = [entry for entry in self._unsent if entry.kind is RecordKind.KEY_FRAME]
        dropped = set(frames[::2])
        self._unsent = [entry for entry in self._unsent if entry not in dropped]
        self._bytes -= sum(entry.size for entry in dropped)
        self._key_frames -= len(dropped)
        self._losses.add(RecordKind.KEY_FRAME.value, "queue_full", len(dropped))
        self._cursor = 0
        return True

    def _merge_scalars(self) -> bool:
        """Merge the next two messages of scalars behind the cursor into one of half the rows."""
        pair = self._next_pair()
        if pair is None and self._cursor:
            self._cursor = 0
            pair = self._next_pair()
        if pair is None:
            return self._halve_one()
        first, second = pair
        older, newer = self._unsent[first], self._unsent[second]
        joined = join((_metrics(older), _metrics(newer)))
        self._replace(first, joined, freed=older.size + newer.size)
        del self._unsent[second]
        self._cursor = first + 1
        return True

    def _next_pair(self) -> tuple[int, int] | None:
        found: list[int] = []
        for index in range(self._cursor, len(self._unsent)):
            if self._unsent[index].kind is RecordKind.SCALARS:
                found.append(index)
                if len(found) == 2:
                    return found[0], found[1]
        return None

    def _halve_one(self) -> bool:
        """Halve the only message of scalars; False where there is none or nothing is gained."""
        for index, entry in enumerate(self._unsent):
            if entry.kind is RecordKind.SCALARS:
                return self._replace(index, _metrics(entry), freed=entry.size)
        return False

    def _replace(self, index: int, data: MetricData, freed: int) -> bool:
        """Put scalars, with half the rows, in an entry's place; False where none were merged."""
        rows = rows_in(data)
        merged = halve(data)
        if merged.ByteSize() > 0.75 * data.ByteSize():
            merged = halve(merged)  # rows merged for the first time get three columns more
        request = TelemetryRequest(metric_data=merged, timestamp_ms=merged.timestamp_ms)
        entry = Entry(RecordKind.SCALARS, request.SerializeToString())
        self._unsent[index] = entry
        self._bytes += entry.size - freed
        lost = rows - rows_in(merged)
        if lost:
            self._losses.add(RecordKind.SCALARS.value, "merged", lost)
        return lost > 0


def _metrics(entry: Entry) -> MetricData:
    return TelemetryRequest.FromString(entry.message).metric_data


def _records_in(entry: Entry) -> int:
    return rows_in(_metrics(entry)) if entry.kind is RecordKind.SCALARS else 1
