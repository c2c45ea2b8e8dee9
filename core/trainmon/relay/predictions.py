"""What a model said and what was true, from raw outputs and targets.

What they are is told by :mod:`trainmon.relay.tasks`. Outputs that are probabilities already are
taken as such, others go through softmax or sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trainmon.relay.tasks import Habits, Task, rows_of, sums_to_one
from trainmon.v1.telemetry_pb2 import GroundTruth, Prediction

__all__ = ["NO_CLASS", "Labels", "Samples", "describe", "probabilities"]

Array = npt.NDArray[Any]

TOP = 5
#: Values of one sample that are sent at most.
MAX_VALUES = 256
#: Stands for none where a class is told.
NO_CLASS = -1


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


def probabilities(outputs: Array, task: Task, habits: Habits | None = None) -> Array:
    """Return the probabilities that outputs stand for, float64, of the same shape.

    Rows with a NaN stay NaN.
    """
    values = outputs.astype(np.float64)
    with np.errstate(all="ignore"):  # NaN and infinities are shown, not warned of
        if task is Task.CLASSES:
            valid = values[np.isfinite(values).all(axis=1)]
            if len(valid) and sums_to_one(valid):
                return values
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            softmax: Array = powers / powers.sum(axis=1, keepdims=True)
            return softmax
        if (habits or Habits()).are_probabilities(values):
            return values
        sigmoid: Array = np.exp(-np.logaddexp(0, -values))
        return sigmoid


def describe(
    outputs: Array | None, targets: Array | None, labels: Labels, habits: Habits | None = None
) -> Samples:
    """Return the predictions and truths of a frame's samples.

    Args:
        outputs: Of the model, (N, C) or (N,); None: unknown.
        targets: Likewise, what was true.
        labels: Names of the classes.
        habits: What the frames before have shown; told what this one does.
    """
    habits = habits or Habits()
    task = habits.task_of(outputs, targets)
    samples = Samples()
    if task is Task.UNKNOWN:
        return samples
    if outputs is not None:
        samples.predictions = _predictions(rows_of(outputs), task, labels, habits)
    if targets is not None:
        samples.ground_truth = _truths(rows_of(targets), task, labels)
    return samples


def _predictions(rows: Array, task: Task, labels: Labels, habits: Habits) -> list[Prediction]:
    if task is Task.VALUES:
        values = rows.astype(np.float64)
        return [Prediction(predicted_class=NO_CLASS, values=row[:MAX_VALUES]) for row in values]
    rows = probabilities(rows, task, habits)
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
    top = np.tile(np.arange(count), (len(rows), 1))
    if count < rows.shape[1]:
        top = np.sort(np.argpartition(-rows, count - 1, axis=1)[:, :count], axis=1)
    # Negated and stable: of equal scores the first class comes first.
    order = np.argsort(-np.take_along_axis(rows, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    scores = np.take_along_axis(rows, top, axis=1)
    unknown = np.asarray(np.isnan(rows).any(axis=1))
    return [
        Prediction(predicted_class=NO_CLASS) if missing else _ranked(classes, values, labels)
        for missing, classes, values in zip(
            unknown.tolist(), top.tolist(), scores.tolist(), strict=True
        )
    ]


def _ranked(classes: list[int], scores: list[float], labels: Labels) -> Prediction:
    """Return a prediction from its classes and their scores, the best first."""
    names = [labels[each] for each in classes]
    prediction = Prediction(
        predicted_class=classes[0], predicted_label=names[0], confidence=scores[0]
    )
    add = prediction.top_k_scores.add
    for each, name, score in zip(classes, names, scores, strict=True):
        add(class_index=each, label=name, score=score)
    return prediction


def _truths(rows: Array, task: Task, labels: Labels) -> list[GroundTruth]:
    if task is Task.VALUES:
        return [GroundTruth(true_class=NO_CLASS, values=row[:MAX_VALUES]) for row in rows]
    if task is Task.MULTI_LABEL:
        return [
            GroundTruth(true_class=NO_CLASS, true_classes=np.flatnonzero(row)[:MAX_VALUES])
            for row in rows
        ]
    classes = rows[:, 0] if rows.shape[1] == 1 else rows.argmax(axis=1)
    return [_truth(int(index), labels) for index in classes]


def _truth(index: int, labels: Labels) -> GroundTruth:
    index = index if 0 <= index < 2**31 else NO_CLASS
    return GroundTruth(true_class=index, true_label=labels[index])
