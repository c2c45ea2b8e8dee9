"""The outbox as messages: a record each, or of scalars many in one, at once or once a second.

A message costs sender and monitor much the same whether it tells of one step or of a thousand. So
scalars that wait behind each other go together; and where nobody looks at the run, and the disk has
what waits, they wait for a second on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from trainmon.relay.entry import Entry, RecordKind
from trainmon.relay.merging import join
from trainmon.relay.outbox import Outbox
from trainmon.v1.telemetry_pb2 import MetricData, TelemetryRequest

__all__ = ["ENVELOPE_BYTES", "Parcels"]

#: What a request holds beside its payload, in bytes.
ENVELOPE_BYTES = 512
#: Scalars in one message at most, in bytes. Merged rows among others make it up to twice as long,
#: and every monitor takes 64 KiB.
_MOST_BYTES = 24 << 10
#: From the last message of scalars to the next ones, where nobody waits for them.
_LEISURE_S = 1.0


class Parcels:
    """What is sent of an outbox, and when.

    Args:
        outbox: Where the records are.
        clock: ``time.monotonic``, if not given.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._outbox = outbox
        self._clock = clock
        self._rested_s = float("-inf")
        self._sending = False
        self.joins = False
        """Whether the monitor takes several records in one message."""
        self.leisurely = False
        """Whether nobody waits for scalars."""

    def ready(self) -> bool:
        """Whether what waits, if anything does, is to be sent now."""
        waits = self.leisurely and self.joins and self._outbox.can_wait
        return not waits or self._sending or self._clock() - self._rested_s >= _LEISURE_S

    def next(self, max_bytes: int, *, hold_last: bool) -> TelemetryRequest | None:
        """Return the next message, numbered; None: there is none for now.

        Args:
            max_bytes: What the monitor takes in one message.
            hold_last: Whether the last state is to wait.
        """
        if not self.ready():
            return None
        entry = self._peek(max_bytes)
        if entry is None or (entry.last and hold_last):
            self._rest()
            return None
        self._sending = True
        self._outbox.next()  # it was seen: now it has its number
        request = TelemetryRequest.FromString(entry.message)
        if entry.kind is RecordKind.SCALARS and self.joins:
            entry = self._joined(request, entry, max_bytes)
        request.sequence = entry.sequence
        return request

    def _peek(self, max_bytes: int) -> Entry | None:
        """Return what comes next; what is too large for the monitor is dropped, and counted."""
        waiting = self._outbox.peek()
        while waiting is not None and len(waiting.message) + ENVELOPE_BYTES > max_bytes:
            self._outbox.drop_next("message_too_large")
            waiting = self._outbox.peek()
        return waiting

    def _rest(self) -> None:
        """Wait for a second once all that could be sent was."""
        if self._sending and self._outbox.all_sent:
            self._sending = False
            self._rested_s = self._clock()

    def _joined(self, request: TelemetryRequest, first: Entry, max_bytes: int) -> Entry:
        """Add to a message the scalars that follow; return the last of them."""
        most = min(_MOST_BYTES, max_bytes - ENVELOPE_BYTES)
        parts: list[MetricData] = [request.metric_data]
        last, size = first, len(first.message)
        while True:
            entry = self._outbox.peek()
            if entry is None or entry.kind is not RecordKind.SCALARS:
                break
            size += len(entry.message)
            if size > most or entry.number != last.number + 1:
                break
            self._outbox.next()
            last = entry
            parts.append(TelemetryRequest.FromString(last.message).metric_data)
        if last is not first:
            joined = join(parts)
            request.metric_data.CopyFrom(joined)
            request.timestamp_ms = joined.timestamp_ms
            request.joined = len(parts)
        return last
