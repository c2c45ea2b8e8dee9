"""Maps of classes, a number for every pixel, to PNG files of class indices."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainmon.relay.pictures import MIN_EDGE
from trainmon.relay.tasks import Habits
from trainmon.v1.telemetry_pb2 import ImageData

__all__ = ["NO_CLASS", "encode_mask", "predicted_classes", "true_classes"]

Array = npt.NDArray[Any]

#: Pixels of no class: ignored ones, and those of classes that a byte cannot hold.
NO_CLASS = 255


def predicted_classes(outputs: Array, axis: int, *, several: bool, habits: Habits) -> Array:
    """Return the class of each pixel, (N, H, W), bytes, 255 for none.

    Args:
        outputs: Logits or probabilities: (N, H, W), or with an axis of classes.
        axis: Where the classes are, 1 or 3; 0: a number for each pixel, of two classes.
        several: Whether a pixel may be of several classes or none: of those more probable than
            not, the most probable is returned.
        habits: What earlier frames have shown.
    """
    values = _classes_last(outputs, axis)
    if values.shape[-1] == 1:
        likely = values[..., 0] > _threshold(values, habits)
        return _bytes(likely, np.isnan(values[..., 0]))
    # Of a NaN the maximum is NaN: what cannot be told is of no class.
    best, unknown = values.argmax(axis=-1), np.isnan(values).any(axis=-1)
    if several:
        unknown |= ~(values.max(axis=-1) > _threshold(values, habits))
    return _bytes(best, unknown)


def _threshold(values: Array, habits: Habits) -> float:
    return 0.5 if habits.are_probabilities(values) else 0.0


def true_classes(targets: Array, axis: int, *, binary: bool) -> Array:
    """Return the class of each pixel, (N, H, W), bytes, 255 for none.

    Args:
        targets: Class indices, or with an axis of classes 0 and 1.
        axis: Where the classes are, 1 or 3; 0: there is none.
        binary: Whether there are two classes: then anything above 0 is the second, also 255.
    """
    values = _classes_last(targets, axis)
    if values.shape[-1] > 1:
        return _bytes(values.argmax(axis=-1), ~values.any(axis=-1))
    indices = values[..., 0]
    if binary:
        ignored = (indices == NO_CLASS) & bool((indices == 1).any())
        return _bytes(indices > 0, ignored | (indices < 0))
    return _bytes(indices, np.zeros(indices.shape, bool))


def is_of_several(targets: Array | None, axis: int) -> bool:
    """Whether targets give some pixel several classes, or none."""
    if targets is None:
        return False
    values = _classes_last(targets, axis)
    return bool(values.shape[-1] > 1 and np.any(values.sum(axis=-1) != 1))


def _classes_last(values: Array, axis: int) -> Array:
    if axis == 0:
        return values[..., np.newaxis]
    return np.moveaxis(values, 1, -1) if axis == 1 else values


def _bytes(classes: Array, unknown: Any) -> Array:
    with np.errstate(invalid="ignore"):  # a NaN is of no class
        known = (classes >= 0) & (classes < NO_CLASS) & ~unknown
    found: Array = np.where(known, classes, NO_CLASS).astype(np.uint8)
    return found


def encode_mask(classes: Array, tile_size: int, picture: tuple[int, int] | None) -> ImageData:
    """Encode the classes of one sample's pixels, (H, W), to lie over its tile.

    Args:
        classes: Bytes.
        tile_size: Greatest edge in pixels.
        picture: Width and height of the picture; None: there is none.
    """
    stride = -(-max(classes.shape) // tile_size)
    thinned = classes[::stride, ::stride]
    if picture is not None and max(picture) < MIN_EDGE and picture[0] != picture[1]:
        thinned = _squared(thinned)  # as the picture is
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(thinned))
    image.save(file, "PNG", compress_level=1)
    return ImageData(
        image_bytes=file.getvalue(),
        format="png",
        width=image.width,
        height=image.height,
        channels=1,
    )


def _squared(classes: Array) -> Array:
    edge = max(classes.shape)
    square = np.full((edge, edge), NO_CLASS, np.uint8)
    top, left = ((edge - length) // 2 for length in classes.shape)
    square[top : top + classes.shape[0], left : left + classes.shape[1]] = classes
    return square
