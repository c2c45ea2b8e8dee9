"""How far a run is, from whatever tells of it. Pure."""

from __future__ import annotations

from trainmon.v1.dashboard_pb2 import SessionSummary
from trainmon.v1.telemetry_pb2 import BatchData, EpochData, MetricData, PerformanceData

__all__ = ["LOSS_SERIES", "Progress"]

#: The series that holds the batch loss.
LOSS_SERIES = "loss"


class Progress:
    """Newest step, epoch, batch and loss. Older news than what is known changes nothing."""

    def __init__(self) -> None:
        self.attempt = 0
        self.global_step: int | None = None
        self.epoch = 0
        self.batch_index = 0
        self.loss: float | None = None
        # Rates, or another rank, may be ahead of the losses that are told.
        self._loss_at = (0, 0)

    def restore(self, summary: SessionSummary) -> None:
        """Take over what an earlier monitor knew."""
        self.epoch, self.batch_index = summary.epoch, summary.batch_index
        self.global_step = summary.global_step if summary.HasField("global_step") else None
        self.loss = summary.loss if summary.HasField("loss") else None
        self._loss_at = (0, self.global_step or 0)

    def batch(self, batch: BatchData) -> None:
        """A picture, or a foreign trainer's batch."""
        if self._advance(batch.attempt, batch.global_step):
            self.epoch, self.batch_index = batch.epoch, batch.batch_index
        if batch.HasField("batch_loss"):
            self._lost(batch.attempt, batch.global_step, batch.batch_loss)

    def performance(self, data: PerformanceData) -> None:
        """Rates, which know where the run is too; all zero: they do not."""
        if not (data.global_step or data.epoch or data.batch_index):
            return
        if self._advance(self.attempt, data.global_step):
            self.epoch, self.batch_index = data.epoch, data.batch_index

    def epoch_ended(self, epoch: EpochData, batches_per_epoch: int) -> None:
        """An epoch ended, perhaps one of which no batch was told; 0 batches: unknown."""
        if epoch.epoch > self.epoch or (epoch.epoch == self.epoch and batches_per_epoch):
            self.epoch = epoch.epoch
            self.batch_index = max(batches_per_epoch - 1, 0)

    def metrics(self, data: MetricData) -> None:
        """Scalars."""
        for series in data.series:
            if not series.steps:
                continue
            step = int(series.steps[-1])
            self._advance(series.attempt, step)
            if series.name == LOSS_SERIES:
                self._lost(series.attempt, step, series.values[-1])

    def _lost(self, attempt: int, step: int, loss: float) -> None:
        if (attempt, step) >= self._loss_at:
            self._loss_at, self.loss = (attempt, step), loss

    def _advance(self, attempt: int, step: int) -> bool:
        if self.global_step is not None and (attempt, step) < (self.attempt, self.global_step):
            return False
        self.attempt, self.global_step = attempt, step
        return True
