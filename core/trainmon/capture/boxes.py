"""Boxes of a batch as rows of one small array, whatever they were kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainmon.capture.arrays import Array, as_numpy

__all__ = ["BOX_COLUMNS", "MOST_BOXES", "read_boxes"]

#: Left, top, right and bottom in pixels, class, score; NaN: unknown, or no box at all.
BOX_COLUMNS = 6
#: Boxes of one sample: those of the highest score, or the first.
MOST_BOXES = 64


def read_boxes(samples: Sequence[Any], rows: Sequence[int]) -> Array:
    """Return the boxes of the chosen samples, (rows, MOST_BOXES, BOX_COLUMNS), float32.

    Args:
        samples: One mapping each: ``boxes`` (K, 4), ``labels`` (K,) and ``scores`` (K,), the last
            two where they are known.
        rows: Which.

    Raises:
        TypeError: A sample is no such mapping, or lies on an accelerator.
        ValueError: Its arrays are not of these shapes.
    """
    found = np.full((len(rows), MOST_BOXES, BOX_COLUMNS), np.nan, np.float32)
    for target, row in zip(found, rows, strict=True):
        sample = samples[row]
        if not isinstance(sample, Mapping) or "boxes" not in sample:
            raise TypeError(
                f"sample {row} is a {type(sample).__name__}, where a mapping with boxes (K, 4), "
                "labels (K,) and perhaps scores (K,) was expected"
            )
        boxes = as_numpy(sample["boxes"])
        if not boxes.size:
            continue
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes of shape {boxes.shape}, where (boxes, 4) was expected")
        columns = [_column(sample.get(name), len(boxes), name) for name in ("labels", "scores")]
        kept = _kept(columns[1], len(boxes))
        with np.errstate(all="ignore"):  # of a model that diverges; such a box is not shown
            target[: len(kept), :4] = boxes[kept]
        for place, column in enumerate(columns, 4):
            if column is not None:
                target[: len(kept), place] = column[kept]
    return found


def _column(values: Any, count: int, name: str) -> Array | None:
    if values is None:
        return None
    column = as_numpy(values).reshape(-1)
    if len(column) != count:
        raise ValueError(f"{len(column)} {name} of {count} boxes")
    return column


def _kept(scores: Array | None, count: int) -> Array:
    if count <= MOST_BOXES:
        return np.arange(count)
    if scores is None:
        return np.arange(MOST_BOXES)
    return np.sort(np.argsort(-scores, kind="stable")[:MOST_BOXES])
