"""Boxes in pixels of the user's pictures to boxes in fractions of a tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trainmon.relay.pictures import MIN_EDGE
from trainmon.relay.predictions import NO_CLASS, Labels
from trainmon.v1.telemetry_pb2 import BoundingBox

__all__ = ["boxes_of"]

Array = npt.NDArray[Any]


def boxes_of(rows: Array, size: Array, labels: Labels) -> list[BoundingBox]:
    """Return the boxes of one sample; those without an extent within the picture are left out.

    Args:
        rows: (boxes, 6): left, top, right, bottom in pixels, class, score; NaN: unknown.
        size: Height and width of the picture's copy, then of the picture itself, in pixels.
        labels: Names of the classes.
    """
    height, width = (max(1, int(length)) for length in size[2:])
    share = _share(int(size[0]), int(size[1]))
    found = []
    for row in rows[np.isfinite(rows[:, :4]).all(axis=1)].astype(np.float64):
        edges = np.clip(row[:4] / (width, height, width, height), 0, 1)
        if not (edges[2] > edges[0] and edges[3] > edges[1]):
            continue
        left, top, right, bottom = 0.5 + (edges - 0.5) * (*share, *share)
        index = NO_CLASS if np.isnan(row[4]) else int(np.clip(row[4], NO_CLASS, 2**31 - 1))
        box = BoundingBox(
            x_min=left,
            y_min=top,
            x_max=right,
            y_max=bottom,
            class_index=index,
            label=labels[index],
        )
        if not np.isnan(row[5]):
            box.score = min(max(float(row[5]), 0.0), 1.0)
        found.append(box)
    return found


def _share(height: int, width: int) -> tuple[float, float]:
    """Return which part of a tile's width and height a picture covers: small ones are padded."""
    longer = max(height, width)
    return (1.0, 1.0) if longer >= MIN_EDGE else (width / longer, height / longer)
