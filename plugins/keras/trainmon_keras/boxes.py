"""True boxes, told as Keras' own layers have them: a mapping of ``boxes`` and ``labels``.

Source: https://keras.io/api/utils/bounding_boxes (formats; negative labels fill a batch up).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from trainmon_keras.choose import Leaf, leaves

__all__ = ["FORMATS", "Boxes", "corners", "find_boxes"]

_PLAIN = ("xyxy", "yxyx", "xywh", "center_xywh")
#: How a box may be told; ``rel_``: as a part of the picture's width and height.
FORMATS = frozenset({*_PLAIN, *(f"rel_{name}" for name in _PLAIN), "center_yxhw"})
_LABELS = ("labels", "classes")


@dataclass(frozen=True)
class Boxes:
    """Boxes of a batch: (B, N, 4), and the class of each, (B, N), negative where there is none."""

    boxes: Leaf
    labels: Leaf | None


def find_boxes(y: Any) -> Boxes | None:
    """Return the boxes of a batch's truth; None: it has none."""
    if isinstance(y, Mapping):
        leaf = next(iter(leaves("y['boxes']", y.get("boxes"))), None)
        if leaf is not None and len(leaf.shape) == 3 and leaf.shape[2] == 4:
            named = (each for name in _LABELS for each in leaves(f"y[{name!r}]", y.get(name)))
            return Boxes(leaf, next((each for each in named if len(each.shape) == 2), None))
    parts = y.values() if isinstance(y, Mapping) else y if isinstance(y, (list, tuple)) else ()
    return next((found for part in parts if (found := find_boxes(part)) is not None), None)


def corners(found: Boxes, told: str, height: int | None, width: int | None) -> Any:
    """Return left, top, right and bottom in pixels, (B, N, 4); no extent where there is no box.

    Args:
        found: The boxes.
        told: One of ``FORMATS``.
        height: Of the pictures, in pixels; None: not known while the step is traced.
        width: Likewise.

    Raises:
        ValueError: There is no such format, or the size is needed and not known.
    """
    if told not in FORMATS:
        raise ValueError(f"boxes cannot be told as {told!r}, but as {', '.join(sorted(FORMATS))}")
    values = keras.ops.cast(keras.ops.stop_gradient(found.boxes.value), "float32")
    first, second, third, fourth = (values[..., index] for index in range(4))
    order = told.removeprefix("rel_")
    if order in ("yxyx", "center_yxhw"):
        first, second, third, fourth = second, first, fourth, third
    if order.startswith("center_"):
        first, second = first - third / 2, second - fourth / 2
    if order not in ("xyxy", "yxyx"):
        third, fourth = first + third, second + fourth
    if order != told:
        if not height or not width:
            raise ValueError("the pictures' size is not known, of which the boxes are parts")
        first, third = first * width, third * width
        second, fourth = second * height, fourth * height
    edges = keras.ops.stack([first, second, third, fourth], axis=-1)
    if found.labels is None:
        return edges
    there = keras.ops.cast(found.labels.value >= 0, "float32")
    return edges * keras.ops.expand_dims(there, -1)
