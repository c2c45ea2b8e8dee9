"""What the ends of epochs say: the mean of the batch losses, and how the loss develops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainmon.channel import StepRecord
from trainmon.v1.telemetry_pb2 import ConvergenceStatus, EpochData

__all__ = ["Epochs", "convergence"]

_PLATEAU_EPOCHS, _PLATEAU_GAIN = 3, 0.01
_CONVERGED_EPOCHS, _CONVERGED_GAIN = 5, 0.001


def convergence(losses: Sequence[float]) -> ConvergenceStatus:
    """Tell how a loss has developed; the rule is in telemetry.proto at ConvergenceStatus.

    Args:
        losses: Of each epoch, oldest first.
    """
    if not losses:
        return ConvergenceStatus.CONVERGENCE_STATUS_UNSPECIFIED
    newest = losses[-1]
    finite = [loss for loss in losses if math.isfinite(loss)]
    least = min(finite, default=math.inf)
    # `least + |least|` is twice the least, and still above it where losses are negative.
    if not math.isfinite(newest) or newest > least + abs(least):
        return ConvergenceStatus.CONVERGENCE_STATUS_DIVERGING
    if _gain(losses, _CONVERGED_EPOCHS) < _CONVERGED_GAIN:
        return ConvergenceStatus.CONVERGENCE_STATUS_CONVERGED
    if _gain(losses, _PLATEAU_EPOCHS) < _PLATEAU_GAIN:
        return ConvergenceStatus.CONVERGENCE_STATUS_PLATEAU
    return ConvergenceStatus.CONVERGENCE_STATUS_IMPROVING


def _gain(losses: Sequence[float], epochs: int) -> float:
    """Return by what part the best improved over the last epochs; inf where there are too few."""
    before = min((loss for loss in losses[:-epochs] if math.isfinite(loss)), default=None)
    if before is None:
        return math.inf
    now = min(loss for loss in (before, *losses[-epochs:]) if math.isfinite(loss))
    return (before - now) / abs(before) if before else before - now


class Epochs:
    """Follows the epochs of a run."""

    def __init__(self) -> None:
        self._epoch = -1
        self._sum = 0.0
        self._count = 0
        self._training: list[float] = []
        self._validation: list[float] = []

    def step(self, step: StepRecord) -> None:
        """Take in the loss of a batch."""
        if step.epoch != self._epoch:
            self._epoch, self._sum, self._count = step.epoch, 0.0, 0
        if step.loss is not None:
            self._sum += step.loss
            self._count += 1

    def mean_loss(self, epoch: int) -> float | None:
        """Return the mean of an epoch's batch losses; None: none was told."""
        return self._sum / self._count if epoch == self._epoch and self._count else None

    def judge(self, data: EpochData) -> None:
        """Set the convergence status of an epoch that has ended."""
        if data.HasField("average_loss"):
            self._training.append(data.average_loss)
        if data.HasField("validation_loss"):
            self._validation.append(data.validation_loss)
            losses = self._validation
        else:
            losses = self._training if data.HasField("average_loss") else []
        data.convergence_status = convergence(losses)
