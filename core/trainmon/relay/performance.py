"""When rates and resources are told, and what is told."""

from __future__ import annotations

from collections import deque

from trainmon import wire
from trainmon.channel import ControlBlock, Word
from trainmon.relay.clock import ClockOffset
from trainmon.relay.losses import LossCounter
from trainmon.relay.pace import Pace
from trainmon.v1.telemetry_pb2 import PerformanceData

__all__ = ["Performance", "RateMeter"]

_MIN_INTERVAL_S = 0.1
_MAX_INTERVAL_S = 1.0


class RateMeter:
    """Counts what happened in the last second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, now_s: float) -> None:
        """It happened at ``now_s``, ``time.monotonic()``."""
        self._times.append(now_s)

    def rate(self, now_s: float) -> float:
        """Return how often it happened in the second before ``now_s``."""
        while self._times and self._times[0] <= now_s - 1:
            self._times.popleft()
        return float(len(self._times))


class Performance:
    """Tells rates every N batches while watched, at most ten times and at least once a second.

    Args:
        block: Where the training counts its own.
        pace: The frame-rate tracker.
        losses: What was thinned or refused.
        clock: The monitor's clock.
    """

    def __init__(
        self, block: ControlBlock, pace: Pace, losses: LossCounter, clock: ClockOffset
    ) -> None:
        self._words = block.words
        self._pace = pace
        self._losses = losses
        self._clock = clock
        self.every_n_batches = 10
        self.pictures = RateMeter()
        self._told_s = 0.0
        self._told_steps = 0
        self._spent: deque[tuple[float, int, int]] = deque()

    def due(self, now_s: float, *, watched: bool) -> bool:
        """Whether it is time at ``now_s``, ``time.monotonic()``.

        Where nobody watches, once a second is enough for lists of sessions.
        """
        waited_s = now_s - self._told_s
        if waited_s >= _MAX_INTERVAL_S:
            return True
        batches = self._pace.steps - self._told_steps
        return watched and batches >= self.every_n_batches and waited_s >= _MIN_INTERVAL_S

    def message(self, now_s: float, resources: PerformanceData) -> PerformanceData:
        """Return what is to be told now."""
        self._told_s, self._told_steps = now_s, self._pace.steps
        now_ms, pace = wire.now_ms(), self._pace
        data = PerformanceData()
        data.CopyFrom(resources)
        data.timestamp_ms = now_ms
        steps = self._words[Word.STEPS]
        data.global_step = pace.global_step
        data.epoch, data.batch_index = pace.epoch, pace.batch_index
        data.current_fps = pace.current_fps(now_ms)
        data.average_fps = pace.average_fps(now_ms)
        data.batch_time_ms = pace.batch_time_ms()
        data.pictures_per_second = self.pictures.rate(now_s)
        data.capture_us = self._capture_us(now_s, steps)
        data.losses.extend(self._losses.messages())
        for name, value in (
            ("epoch_remaining_ms", pace.epoch_remaining_ms()),
            ("run_remaining_ms", pace.run_remaining_ms()),
            ("clock_offset_ms", self._clock.offset_ms),
            ("round_trip_ms", self._clock.round_trip_ms),
        ):
            if value is not None:
                setattr(data, name, value)
        return data

    def _capture_us(self, now_s: float, steps: int) -> float:
        """Return the mean time the training spent in trainmon per batch of the last second."""
        spent_ns = self._words[Word.CAPTURE_NS]
        self._spent.append((now_s, steps, spent_ns))
        while len(self._spent) > 2 and self._spent[1][0] <= now_s - 1:
            self._spent.popleft()
        _, first_steps, first_ns = self._spent[0]
        batches = steps - first_steps
        return max(0, spent_ns - first_ns) / 1e3 / batches if batches > 0 else 0.0
