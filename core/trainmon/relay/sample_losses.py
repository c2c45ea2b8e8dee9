"""What each sample cost, where that can be known from outputs, targets and the loss of the batch.

A loss is told only where the mean over the samples of its batch reproduces the batch's loss: then
this is how it was computed. Cross-entropy from logits or probabilities, with targets that are
ignored and with the usual label smoothings; binary cross-entropy; squared, absolute and Huber's
error. A loss with weights of classes, or of another kind, gives none: better none than wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from trainmon.relay.tasks import Task, is_within_zero_and_one, rows_of, sums_to_one, task_of

__all__ = ["gathered_losses", "sample_losses"]

Array = npt.NDArray[Any]

_SLACK = 1e-3
#: A smoothing is one guess among several: it has to fit better.
_SMOOTHED_SLACK = 1e-4
_SMOOTHINGS = (0.1, 0.05, 0.2, 0.15)


def sample_losses(
    outputs: Array, targets: Array, batch_loss: float | None, task: Task | None = None
) -> Array | None:
    """Return the loss of each sample of a whole batch, (B,), NaN where it took no part; else None.

    Args:
        outputs: Of every sample of the batch, (B, C) or (B,).
        targets: Likewise.
        batch_loss: Loss of the batch, as the training told it.
        task: What they are; None: as these alone look.
    """
    if batch_loss is None or not np.isfinite(batch_loss) or len(outputs) != len(targets):
        return None
    task = task or task_of(outputs, targets)
    if task is Task.UNKNOWN or not len(outputs):
        return None
    given, wanted = rows_of(outputs).astype(np.float64), rows_of(targets)
    with np.errstate(all="ignore"):  # infinities and NaN fit no loss
        for losses, slack in _candidates(given, wanted, task):
            counted = losses[~np.isnan(losses)]
            mean = float(counted.mean()) if counted.size else float("nan")
            if abs(mean - batch_loss) <= max(slack * abs(batch_loss), 1e-6):
                return losses
    return None


def gathered_losses(
    outputs: Array, targets: Array, steps: Array | None, batches: Array, task: Task | None = None
) -> Array | None:
    """Return the loss of each sample of a frame gathered from whole small batches; else None.

    Args:
        outputs: Of the frame's samples, (N, C) or (N,).
        targets: Likewise.
        steps: The step each sample is of, (N,); None: all of one.
        batches: Of each sample's batch the loss and how many samples it has, (N, 2).
        task: What they are; None: as these alone look.
    """
    steps = np.zeros(len(outputs)) if steps is None else steps
    found = np.full(len(outputs), np.nan)
    for step in np.unique(steps):
        members = np.flatnonzero(steps == step)
        loss, size = batches[members[0]]
        if len(members) != size:
            continue  # the rest of this batch had no room
        losses = sample_losses(outputs[members], targets[members], float(loss), task)
        if losses is not None:
            found[members] = losses
    return None if np.isnan(found).all() else found


def _candidates(outputs: Array, targets: Array, task: Task) -> Iterator[tuple[Array, float]]:
    """Yield the losses that samples may have, each with how exactly its mean has to fit."""
    if task is Task.CLASSES:
        yield from _class_losses(outputs, targets)
    elif task is not Task.VALUES:
        yield from ((losses.mean(axis=1), _SLACK) for losses in _binary_losses(outputs, targets))
    elif outputs.shape == targets.shape:
        error = np.abs(outputs - targets.astype(np.float64))
        for losses in (error**2, error, np.where(error < 1, error**2 / 2, error - 0.5)):
            yield losses.mean(axis=1), _SLACK


def _class_losses(outputs: Array, targets: Array) -> Iterator[tuple[Array, float]]:
    readings = [_log_softmax(outputs)]
    if sums_to_one(outputs):
        readings.insert(0, np.log(outputs))
    if targets.shape[1] == outputs.shape[1]:
        for likely in readings:
            # 0 × -inf is 0 here: a class that is not asked for costs nothing.
            yield -np.where(targets > 0, targets * likely, 0).sum(axis=1), _SLACK
        shares = targets.astype(np.float64)
    else:
        classes = targets[:, 0].astype(np.int64)
        if classes.size and classes.max() >= outputs.shape[1]:
            return
        shares = np.eye(outputs.shape[1])[np.maximum(classes, 0)]
        shares[classes < 0] = np.nan  # ignored: it takes no part in the mean
        for likely in readings:
            yield -_chosen(likely, classes), _SLACK
    for likely in readings:
        plain = -np.where(shares == 0, 0, shares * likely).sum(axis=1)
        even = -likely.mean(axis=1)
        for smoothing in _SMOOTHINGS:
            yield (1 - smoothing) * plain + smoothing * even, _SMOOTHED_SLACK


def _chosen(likely: Array, classes: Array) -> Array:
    """Return the entry of each row's class; NaN where a class is negative: ignored."""
    found = likely[np.arange(len(classes)), np.maximum(classes, 0)]
    return np.where(classes < 0, np.nan, found)


def _log_softmax(values: Array) -> Array:
    shifted = values - values.max(axis=1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _binary_losses(outputs: Array, targets: Array) -> Iterator[Array]:
    if is_within_zero_and_one(outputs):
        yield -np.where(targets > 0, np.log(outputs), np.log1p(-outputs))
    yield np.logaddexp(0, np.where(targets > 0, -outputs, outputs))
