"""What a model said and what was true, from raw outputs and targets.

The task is read from the shapes and values, with N samples and C classes:

===========================  ==================================  ==================================
outputs                      targets                             task
===========================  ==================================  ==================================
(N, C ≥ 2)                   whole (N,) or (N, 1); rows that     one class of C
                             sum to 1 (N, C); none
(N, C ≥ 2)                   0 and 1, (N, C)                     any of C classes
(N,) or (N, 1)               0 and 1, (N,) or (N, 1)             two classes
(N,) or (N, K)               real (N,) or (N, K)                 regression
===========================  ==================================  ==================================

Outputs that are probabilities already are taken as such, others go through softmax or sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

from trainmon.v1.telemetry_pb2 import ClassScore, GroundTruth, Prediction

__all__ = ["Labels", "Samples", "Task", "describe", "probabilities", "sample_losses", "task_of"]

Array = npt.NDArray[Any]

TOP = 5
#: Values of one sample that are sent at most.
MAX_VALUES = 256
_SUM_SLACK = 1e-3
_LOSS_SLACK = 1e-3
_NONE = -1


class Task(Enum):
    """What the outputs and targets of a batch are."""

    CLASSES = auto()
    """One class of many."""
    BINARY = auto()
    """One of two classes, a single output."""
    MULTI_LABEL = auto()
    """Any number of classes."""
    VALUES = auto()
    """Regression."""
    UNKNOWN = auto()
    """None that is known here: shown without."""


@dataclass
class Samples:
    """What is shown of a frame's samples; an empty list is unknown."""

    predictions: list[Prediction] = field(default_factory=list)
    ground_truth: list[GroundTruth] = field(default_factory=list)


class Labels:
    """Names of the classes; an index without one has an empty name.

    Args:
        names: By index; none: unknown.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = tuple(names)
        self.outside: int | None = None
        """An index that was asked for and lies outside the names; None: none was."""

    def __getitem__(self, index: int) -> str:
        if 0 <= index < len(self._names):
            return self._names[index]
        if self._names and index >= 0:
            self.outside = index
        return ""


def task_of(outputs: Array | None, targets: Array | None) -> Task:
    """Tell the task from outputs and targets; either may be missing."""
    width, target_width = _width(outputs), _width(targets)
    if (outputs is not None and width is None) or (targets is not None and target_width is None):
        return Task.UNKNOWN
    if targets is None:
        return Task.CLASSES if width and width >= 2 else Task.VALUES
    if target_width == 1:
        return _task_of_column(width, targets)
    if width not in (None, target_width):
        return Task.VALUES
    binary = _is_zero_or_one(targets)
    if _rows_sum_to_one(targets) and (binary or width is not None):
        return Task.CLASSES
    return Task.MULTI_LABEL if binary else Task.VALUES


def _task_of_column(width: int | None, targets: Array) -> Task:
    """Tell the task where each sample has one target."""
    if width == 1:
        return Task.BINARY if _is_zero_or_one(targets) else Task.VALUES
    if targets.dtype.kind in "iub":
        return Task.CLASSES
    # Class indices are often kept as real numbers; one value for many outputs is no regression.
    indices = width is not None and np.all((targets >= 0) & (targets < width))
    return Task.CLASSES if indices and np.all(targets == np.floor(targets)) else Task.VALUES


def _width(rows: Array | None) -> int | None:
    """Return the numbers per sample; None: the array is missing or of another shape."""
    if rows is None or rows.ndim not in (1, 2) or rows.dtype.kind not in "biuf":
        return None
    return 1 if rows.ndim == 1 else rows.shape[1]


def _is_zero_or_one(values: Array) -> bool:
    return bool(np.all((values == 0) | (values == 1)))


def _rows_sum_to_one(rows: Array) -> bool:
    sums = rows.sum(axis=1, dtype=np.float64)
    return bool(np.all(rows >= 0) and np.all(np.abs(sums - 1) <= _SUM_SLACK))


def probabilities(outputs: Array, task: Task) -> Array:
    """Return the probabilities that outputs stand for, float64, of the same shape.

    Rows with a NaN stay NaN.
    """
    values = outputs.astype(np.float64)
    with np.errstate(all="ignore"):  # NaN and infinities are shown, not warned of
        if task is Task.CLASSES:
            valid = values[np.isfinite(values).all(axis=1)]
            if len(valid) and _rows_sum_to_one(valid):
                return values
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            softmax: Array = powers / powers.sum(axis=1, keepdims=True)
            return softmax
        finite = values[np.isfinite(values)]
        if np.all((finite >= 0) & (finite <= 1)):
            return values
        sigmoid: Array = np.exp(-np.logaddexp(0, -values))
        return sigmoid


def describe(outputs: Array | None, targets: Array | None, labels: Labels) -> Samples:
    """Return the predictions and truths of a frame's samples."""
    task = task_of(outputs, targets)
    samples = Samples()
    if task is Task.UNKNOWN:
        return samples
    if outputs is not None:
        samples.predictions = _predictions(outputs, task, labels)
    if targets is not None:
        samples.ground_truth = _truths(targets, task, labels)
    return samples


def _predictions(outputs: Array, task: Task, labels: Labels) -> list[Prediction]:
    if task is Task.VALUES:
        rows = _rows(outputs).astype(np.float64)
        return [Prediction(predicted_class=_NONE, values=row[:MAX_VALUES]) for row in rows]
    rows = probabilities(_rows(outputs), task)
    if task is Task.BINARY:
        return _best(np.concatenate([1 - rows, rows], axis=1), labels)
    predictions = _best(rows, labels)
    if task is Task.MULTI_LABEL:
        for prediction, row in zip(predictions, rows, strict=True):
            prediction.values.extend(row[:MAX_VALUES])
    return predictions


def _best(rows: Array, labels: Labels) -> list[Prediction]:
    """Return predictions from the scores of each class (N, C)."""
    count = min(TOP, rows.shape[1])
    # Negated and stable: of equal scores the first class comes first.
    top = np.argpartition(-rows, count - 1, axis=1)[:, :count] if count < rows.shape[1] else None
    predictions = []
    for index, row in enumerate(rows):
        if np.isnan(row).any():
            predictions.append(Prediction(predicted_class=_NONE))
            continue
        candidates = np.arange(count) if top is None else np.sort(top[index])
        order = candidates[np.argsort(-row[candidates], kind="stable")]
        scores = [
            ClassScore(class_index=int(each), label=labels[int(each)], score=float(row[each]))
            for each in order
        ]
        predictions.append(
            Prediction(
                predicted_class=scores[0].class_index,
                predicted_label=scores[0].label,
                confidence=scores[0].score,
                top_k_scores=scores,
            )
        )
    return predictions


def _truths(targets: Array, task: Task, labels: Labels) -> list[GroundTruth]:
    rows = _rows(targets)
    if task is Task.VALUES:
        return [GroundTruth(true_class=_NONE, values=row[:MAX_VALUES]) for row in rows]
    if task is Task.MULTI_LABEL:
        return [
            GroundTruth(true_class=_NONE, true_classes=np.flatnonzero(row)[:MAX_VALUES])
            for row in rows
        ]
    classes = rows[:, 0] if rows.shape[1] == 1 else rows.argmax(axis=1)
    return [_truth(int(index), labels) for index in classes]


def _truth(index: int, labels: Labels) -> GroundTruth:
    index = index if 0 <= index < 2**31 else _NONE
    return GroundTruth(true_class=index, true_label=labels[index])


def _rows(values: Array) -> Array:
    return values[:, np.newaxis] if values.ndim == 1 else values


def sample_losses(outputs: Array, targets: Array, batch_loss: float | None) -> Array | None:
    """Return the cross-entropy of each sample of a whole batch, (B,).

    None unless their mean reproduces the batch's loss: then it is not how this loss is computed.

    Args:
        outputs: Of every sample of the batch, (B, C) or (B,).
        targets: Likewise.
        batch_loss: Loss of the batch in nats, as the training told it.
    """
    task = task_of(outputs, targets)
    if batch_loss is None or not np.isfinite(batch_loss) or len(outputs) != len(targets):
        return None
    with np.errstate(all="ignore"):
        if task is Task.CLASSES:
            losses = _class_losses(_rows(outputs), _rows(targets))
        elif task in (Task.BINARY, Task.MULTI_LABEL):
            losses = _binary_losses(_rows(outputs), _rows(targets))
        else:
            return None
        mean = float(losses.mean()) if losses is not None and len(losses) else float("nan")
    close = abs(mean - batch_loss) <= max(_LOSS_SLACK * abs(batch_loss), 1e-6)
    return losses if close else None


def _class_losses(outputs: Array, targets: Array) -> Array | None:
    values = outputs.astype(np.float64)
    if _rows_sum_to_one(values):
        likely = np.log(values)
    else:
        shifted = values - values.max(axis=1, keepdims=True)
        likely = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    if targets.shape[1] == outputs.shape[1]:
        # 0 × -inf is 0 here: a class that is not asked for costs nothing.
        summed: Array = -np.where(targets > 0, targets * likely, 0).sum(axis=1)
        return summed
    classes = targets[:, 0].astype(np.int64)
    if classes.size and not (classes.min() >= 0 and classes.max() < outputs.shape[1]):
        return None
    chosen: Array = -likely[np.arange(len(classes)), classes]
    return chosen


def _binary_losses(outputs: Array, targets: Array) -> Array:
    values = outputs.astype(np.float64)
    if np.all((values >= 0) & (values <= 1)):
        costs = -np.where(targets > 0, np.log(values), np.log1p(-values))
    else:
        costs = np.logaddexp(0, np.where(targets > 0, -values, values))
    losses: Array = costs.mean(axis=1)
    return losses
