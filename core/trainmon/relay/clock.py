"""The offset of the monitor's clock, from heartbeats and their answers (RFC 5905, §8)."""

from __future__ import annotations

from collections import OrderedDict, deque

from trainmon.v1.telemetry_pb2 import HeartbeatReply

__all__ = ["ClockOffset"]

_SAMPLES = 60


class ClockOffset:
    """Keeps the last 60 round trips; the shortest tells the offset best."""

    def __init__(self) -> None:
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._samples: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)

    def sent(self, sequence_number: int, at_ms: float) -> None:
        """Note when a heartbeat was sent, in ms since the epoch on this machine's clock."""
        self._sent[sequence_number] = at_ms
        while len(self._sent) > _SAMPLES:
            self._sent.popitem(last=False)

    def replied(self, reply: HeartbeatReply, at_ms: float) -> None:
        """Take in an answer that came at ``at_ms``; one to no known heartbeat says nothing."""
        sent_ms = self._sent.pop(reply.sequence_number, None)
        if sent_ms is None:
            return
        round_trip = (at_ms - sent_ms) - (reply.sent_ms - reply.received_ms)
        if round_trip >= 0:  # else a clock was set meanwhile
            offset = ((reply.received_ms - sent_ms) + (reply.sent_ms - at_ms)) / 2
            self._samples.append((round_trip, offset))

    def restart(self) -> None:
        """Forget the heartbeats under way: the stream that carried them is gone."""
        self._sent.clear()

    @property
    def round_trip_ms(self) -> float | None:
        """The shortest of the last 60 round trips; None: unknown."""
        return min(self._samples)[0] if self._samples else None

    @property
    def offset_ms(self) -> float | None:
        """The monitor's clock less this machine's; None: unknown."""
        return min(self._samples)[1] if self._samples else None
