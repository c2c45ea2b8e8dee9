"""The frame-rate tracker: how fast batches end now, on average, and when the rest will be done.

Times are the training's own, in ms since the epoch. Pauses and evaluations are taken out of them:
the tracker's clock stands still from :meth:`Pace.suspend` to :meth:`Pace.resume`. It never goes
back, though the training's may be set back.
"""

from __future__ import annotations

import itertools
import statistics
from collections import deque

from trainmon.channel import StepRecord

__all__ = ["Pace"]

_WINDOW_MS = 1000.0
#: Batches whose mean duration estimates the rest.
_ESTIMATE_BATCHES = 200


class Pace:
    """Follows the batches of a run."""

    def __init__(self) -> None:
        self.batches_per_epoch: int | None = None
        self.total_epochs: int | None = None
        self.epoch = 0
        self.batch_index = 0
        self.global_step = 0
        self.steps = 0
        """Batches seen."""
        self._excluded_ms = 0.0
        self._suspended_ms: float | None = None
        self._evaluating_ms = 0.0
        self._evaluations = 0
        self._recent: deque[float] = deque()
        self._ends: deque[float] = deque(maxlen=_ESTIMATE_BATCHES + 1)
        self._first_ms = 0.0

    # --- what happens -----------------------------------------------------------------------------

    def step(self, step: StepRecord) -> None:
        """A batch ended."""
        self.resume(step.time_ms)
        at_ms = self._active(step.time_ms)
        if self._ends and at_ms < self._ends[-1]:
            # The clock was set back: ours goes on from the end of the last batch.
            self._excluded_ms -= self._ends[-1] - at_ms
            at_ms = self._ends[-1]
        if not self.steps:
            self._first_ms = at_ms
        self.steps += 1
        self.epoch, self.batch_index = max(0, step.epoch), max(0, step.batch_index)
        self.global_step = max(0, step.global_step)
        self._recent.append(at_ms)
        self._ends.append(at_ms)
        self._forget(at_ms)

    def suspend(self, time_ms: float) -> None:
        """Training stands still from now on: paused or evaluating."""
        if self._suspended_ms is None:
            self._suspended_ms = time_ms

    def resume(self, time_ms: float, *, evaluated: bool = False) -> None:
        """Training goes on."""
        if self._suspended_ms is None:
            return
        gap_ms = max(0.0, time_ms - self._suspended_ms)
        self._suspended_ms = None
        self._excluded_ms += gap_ms
        if evaluated:
            self._evaluating_ms += gap_ms
            self._evaluations += 1

    def _active(self, time_ms: float) -> float:
        """Return a time on the clock that stands still in pauses."""
        if self._suspended_ms is not None:
            time_ms = min(time_ms, self._suspended_ms)
        return time_ms - self._excluded_ms

    def _forget(self, now_ms: float) -> None:
        while self._recent and self._recent[0] <= now_ms - _WINDOW_MS:
            self._recent.popleft()

    # --- what is known ----------------------------------------------------------------------------

    def current_fps(self, now_ms: float) -> float:
        """Return the batches of the last second; 0 while training stands still.

        Where less than two ended in it, the rate of the last two, falling while none follows.
        """
        if self._suspended_ms is not None or not self.steps:
            return 0.0
        now_ms = max(self._active(now_ms), self._ends[-1])
        self._forget(now_ms)
        if len(self._recent) >= 2:
            # Of a run not yet a second old, the part of the second there was.
            lived_ms = now_ms - self._first_ms
            return len(self._recent) * _WINDOW_MS / min(_WINDOW_MS, max(lived_ms, 1.0))
        interval_ms = self._interval_ms()
        if interval_ms is None:
            return 0.0
        return 1e3 / max(interval_ms, now_ms - self._ends[-1], 1e-3)

    def average_fps(self, now_ms: float) -> float:
        """Return batches per second since the first ended."""
        lived_ms = self._active(now_ms) - self._first_ms
        if self.steps < 2 or lived_ms <= 0:
            return 0.0
        return (self.steps - 1) * 1e3 / lived_ms

    def batch_time_ms(self) -> float:
        """Return the mean duration of the batches of the last second; 0: unknown.

        Of the last batch alone, where it took longer than that.
        """
        count = min(len(self._recent), len(self._ends) - 1)
        if count >= 1:
            return max(0.0, (self._ends[-1] - self._ends[-1 - count]) / count)
        return self._interval_ms() or 0.0

    def median_step_s(self) -> float | None:
        """Return the median duration of the last 200 batches in seconds; None: unknown."""
        ends = list(self._ends)
        if len(ends) < 2:
            return None
        return statistics.median(b - a for a, b in itertools.pairwise(ends)) / 1e3

    def epoch_remaining_ms(self) -> float | None:
        """Estimate the time to the end of the epoch; None: unknown."""
        batch_ms = self._mean_ms()
        if batch_ms is None or not self.batches_per_epoch:
            return None
        return max(0, self.batches_per_epoch - self.batch_index - 1) * batch_ms

    def run_remaining_ms(self) -> float | None:
        """Estimate the time to the end of the run, evaluations included; None: unknown."""
        rest_ms, batch_ms = self.epoch_remaining_ms(), self._mean_ms()
        if rest_ms is None or batch_ms is None or not self.total_epochs:
            return None
        epochs = max(0, self.total_epochs - self.epoch - 1)
        evaluation_ms = self._evaluating_ms / self._evaluations if self._evaluations else 0.0
        per_epoch_ms = (self.batches_per_epoch or 0) * batch_ms + evaluation_ms
        return rest_ms + epochs * per_epoch_ms

    def _interval_ms(self) -> float | None:
        return self._ends[-1] - self._ends[-2] if len(self._ends) >= 2 else None

    def _mean_ms(self) -> float | None:
        if len(self._ends) < 2:
            return None
        return max(0.0, (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1))
