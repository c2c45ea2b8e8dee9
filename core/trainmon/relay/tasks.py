"""What the outputs and targets of a batch are, told by their shapes and values.

With N samples and C classes:

===========================  ==================================  ==================================
outputs                      targets                             task
===========================  ==================================  ==================================
(N, C ≥ 2)                   whole (N,) or (N, 1); rows that     one class of C
                             sum to 1 (N, C); none
(N, C ≥ 2)                   0 and 1, (N, C)                     any of C classes
(N,) or (N, 1)               0 and 1, (N,) or (N, 1)             two classes
(N,) or (N, K)               real (N,) or (N, K)                 regression
===========================  ==================================  ==================================

A few samples may look like another task than the run's: what earlier frames have shown of it is
remembered in :class:`Habits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Habits", "Task", "is_within_zero_and_one", "rows_of", "sums_to_one", "task_of"]

Array = npt.NDArray[Any]

_SUM_SLACK = 1e-3
#: Probabilities that were computed in half precision sum to 1 less exactly.
_OUTPUT_SUM_SLACK = 5e-3


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
class Habits:
    """What the frames of a run have shown so far, so that none of a few samples is misread."""

    logits: bool = False
    """Outputs that stand for one probability each were outside 0 to 1: they are none yet."""
    several: bool = False
    """A sample had none or several true classes: one that has a single one is no other task."""
    values: bool = False
    """Single targets were other than 0 and 1: those that are both are no two classes."""

    def task_of(self, outputs: Array | None, targets: Array | None) -> Task:
        """Tell the task, and remember what it shows of the run."""
        task = task_of(outputs, targets)
        single = targets is not None and rows_of(targets).shape[1:] == (1,)
        if task is Task.MULTI_LABEL:
            self.several = True
        elif task is Task.VALUES and single:
            self.values = True
        elif task is Task.BINARY and self.values:
            return Task.VALUES
        elif task is Task.CLASSES and self.several and targets is not None and not single:
            return Task.MULTI_LABEL if _is_zero_or_one(targets) else task
        return task

    def are_probabilities(self, values: Array) -> bool:
        """Whether outputs that stand for one probability each are such already."""
        self.logits |= not is_within_zero_and_one(values)
        return not self.logits


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
    if _rows_sum_to_one(targets, _SUM_SLACK) and (binary or width is not None):
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


def rows_of(values: Array) -> Array:
    """Return one row for each sample, also where it has a single number."""
    return values[:, np.newaxis] if values.ndim == 1 else values


def sums_to_one(outputs: Array) -> bool:
    """Whether the rows of outputs are probabilities of classes."""
    return _rows_sum_to_one(outputs, _OUTPUT_SUM_SLACK)


def is_within_zero_and_one(values: Array) -> bool:
    """Whether all finite values are from 0 to 1."""
    finite = values[np.isfinite(values)]
    return bool(np.all((finite >= 0) & (finite <= 1)))


def _is_zero_or_one(values: Array) -> bool:
    return bool(np.all((values == 0) | (values == 1)))


def _rows_sum_to_one(rows: Array, slack: float) -> bool:
    sums = rows.sum(axis=1, dtype=np.float64)
    return bool(np.all(rows >= 0) and np.all(np.abs(sums - 1) <= slack))
