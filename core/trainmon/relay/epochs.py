"""What the ends of epochs say: the mean of the batch losses, and how the loss develops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainmon.channel import StepRecord
from trainmon.v1.telemetry_pb2 import ConvergenceStatus, EpochData

__all__ = ["EpochMarks", "Epochs", "convergence"]

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


def _shortened(losses: tuple[float, ...]) -> tuple[float, ...]:
    """Return the last losses and the least of those before, which is all that is judged by."""
    if len(losses) <= _CONVERGED_EPOCHS + 1:
        return losses
    older = losses[:-_CONVERGED_EPOCHS]
    least = min((loss for loss in older if math.isfinite(loss)), default=math.nan)
    return (least, *losses[-_CONVERGED_EPOCHS:])


@dataclass(frozen=True)
class EpochMarks:
    """What is known of the epochs at one moment: a relay that follows goes on with it."""

    epoch: int = -1
    """The newest that had a step."""
    total: float = 0.0
    """Sum of its losses."""
    count: int = 0
    """How many they are."""
    whole: bool = True
    """Whether none of them is missing."""
    training: tuple[float, ...] = ()
    """Mean losses of the last epochs, oldest first; the first may be the least of many."""
    validation: tuple[float, ...] = ()
    """Likewise."""


class Epochs:
    """Follows the epochs of a run.

    Args:
        late: Steps came before that were not seen here.
    """

    def __init__(self, *, late: bool = False) -> None:
        self._late = late
        self._epoch = -1
        self._sum = 0.0
        self._count = 0
        self._whole = True
        self._training: tuple[float, ...] = ()
        self._validation: tuple[float, ...] = ()

    def marks(self) -> EpochMarks:
        """Return what is known now."""
        return EpochMarks(
            self._epoch, self._sum, self._count, self._whole, self._training, self._validation
        )

    def restore(self, marks: EpochMarks) -> None:
        """Go on where another relay has left off."""
        self._late = False
        self._epoch, self._sum, self._count = marks.epoch, marks.total, marks.count
        self._whole = marks.whole
        self._training, self._validation = marks.training, marks.validation

    def step(self, step: StepRecord) -> None:
        """Take in the loss of a batch."""
        if step.epoch != self._epoch:
            self._epoch, self._sum, self._count = step.epoch, 0.0, 0
            # Of an epoch that began before there was somebody to look, no mean is made up.
            self._whole = not self._late or step.batch_index == 0
            self._late = False
        if step.loss is not None:
            self._sum += step.loss
            self._count += 1

    def mean_loss(self, epoch: int) -> float | None:
        """Return the mean of an epoch's batch losses; None: none was told, or not all were seen."""
        known = epoch == self._epoch and self._count and self._whole
        return self._sum / self._count if known else None

    def judge(self, data: EpochData) -> None:
        """Set the convergence status of an epoch that has ended."""
        if data.HasField("average_loss"):
            self._training = _shortened((*self._training, data.average_loss))
        if data.HasField("validation_loss"):
            self._validation = _shortened((*self._validation, data.validation_loss))
            losses = self._validation
        else:
            losses = self._training if data.HasField("average_loss") else ()
        data.convergence_status = convergence(losses)
