"""Maps: an output or a target for every pixel, as segmentation has them, and how few are enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainmon.capture.arrays import Array

__all__ = ["MapLayout", "find_maps", "map_stride", "samples_at_once"]

#: Bytes of memory that reading the maps of one step may touch: measured, a millisecond.
_MOST_TOUCHED_BYTES = 6 << 20
#: Fewer pixels along the longer edge than these tell little: rather are fewer samples read.
_LEAST_EDGE = 48
_CACHE_LINE_BYTES = 64
#: So many pixels along each edge of a map are looked at to tell classes from other numbers.
_PROBED = 16


@dataclass(frozen=True)
class MapLayout:
    """How the maps of a batch lie in their array."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    classes: int
    """Numbers per pixel."""
    axis: int
    """Of the classes, in the batch's array: 1 or 3; 0: there is none."""

    def sample_shape(self, stride: int) -> tuple[int, ...]:
        """Return the shape of one map of which every ``stride``-th pixel is taken."""
        height, width = -(-self.height // stride), -(-self.width // stride)
        if self.axis == 0:
            return (height, width)
        return (self.classes, height, width) if self.axis == 1 else (height, width, self.classes)

    def sample_index(self, stride: int) -> tuple[slice, ...]:
        """Return the index that takes every ``stride``-th pixel of one map."""
        pixels, whole = slice(None, None, stride), slice(None)
        if self.axis == 0:
            return (pixels, pixels)
        return (whole, pixels, pixels) if self.axis == 1 else (pixels, pixels, whole)

    def touched(self, stride: int, itemsize: int) -> int:
        """Return the bytes of memory that one strided map is read from."""
        rows, columns = -(-self.height // stride), -(-self.width // stride)
        together = itemsize * (self.classes if self.axis == 3 else 1)
        apart = columns * max(together, _CACHE_LINE_BYTES)
        each_row = min(self.width * together, apart)
        return rows * each_row * (self.classes if self.axis == 1 else 1)


def map_stride(layout: MapLayout, tile_size: int, itemsize: int, samples: int) -> int:
    """Return the least stride at which maps of a batch are read in about a millisecond.

    Greater where a tile needs fewer pixels; never so great that fewer than 48 are left.
    """
    longer = max(layout.height, layout.width)
    stride = 1 if longer <= tile_size else (longer - 1) // (tile_size - 1)
    while longer // (stride + 1) >= _LEAST_EDGE:
        if layout.touched(stride, itemsize) * samples <= _MOST_TOUCHED_BYTES:
            break
        stride += 1
    return stride


def samples_at_once(shape: tuple[int, ...], itemsize: int, most: int) -> int:
    """Return how many samples of an output one step may read, if they are maps; at least 1.

    Args:
        shape: Of the batch's outputs.
        itemsize: Bytes of one number.
        most: How many are wanted.
    """
    if len(shape) != 4 or 0 in shape:
        return most
    layout = _readings(shape)[0]
    least = layout.touched(max(1, max(layout.height, layout.width) // _LEAST_EDGE), itemsize)
    return max(1, min(most, _MOST_TOUCHED_BYTES // max(1, least)))


def find_maps(
    outputs: Array | None,
    targets: Array | None,
    picture: tuple[int, int] | None,
    pictures: tuple[int, ...] | None,
) -> dict[str, MapLayout]:
    """Tell which of outputs and targets hold something for every pixel, from their shapes.

    With B samples of H×W pixels and C classes, targets are class indices (B, H, W), (B, 1, H, W)
    or (B, H, W, 1), or 0 and 1 of the outputs' shape; outputs are (B, C, H, W) or (B, H, W, C), of
    two classes also (B, H, W), and may have fewer pixels than the targets. Pictures that a model
    draws are none of these.

    Args:
        outputs: Numbers of the model, or None.
        targets: What was true, or None.
        picture: Height and width of the samples; None: they are no pictures of one size.
        pictures: Shape of the samples' array, without the batch; None likewise.
    """
    maps: dict[str, MapLayout] = {}
    truth = _target_map(outputs, targets, picture)
    if truth is not None:
        maps["targets"] = truth
    guide = (truth.height, truth.width) if truth is not None else picture
    if outputs is None or guide is None or (targets is not None and truth is None):
        return maps
    if targets is None and (outputs.ndim != 4 or outputs.shape[1:] == pictures):
        return maps  # an autoencoder's picture, as far as can be told
    found = _output_map(outputs.shape, guide)
    if found is not None:
        maps["outputs"] = found
    return maps


def _target_map(
    outputs: Array | None, targets: Array | None, picture: tuple[int, int] | None
) -> MapLayout | None:
    if targets is None or targets.ndim not in (3, 4) or 0 in targets.shape:
        return None
    for layout in _readings(targets.shape):
        size = (layout.height, layout.width)
        alike = outputs is not None and outputs.shape == targets.shape
        if layout.classes > 1 and not alike:
            continue
        fits = _output_map(outputs.shape, size) is not None if outputs is not None else False
        if (alike or fits or (outputs is None and size == picture)) and _is_classes(
            targets, layout
        ):
            return layout
    return None


def _readings(shape: tuple[int, ...]) -> list[MapLayout]:
    """Return how an array may hold maps, the likeliest first."""
    if len(shape) == 3:
        return [MapLayout(shape[1], shape[2], 1, 0)]
    first = MapLayout(shape[2], shape[3], shape[1], 1)
    last = MapLayout(shape[1], shape[2], shape[3], 3)
    return [last, first] if shape[3] < shape[1] else [first, last]


def _output_map(shape: tuple[int, ...], size: tuple[int, int]) -> MapLayout | None:
    """Return the reading that has these pixels, or as many fewer along both edges."""
    if len(shape) not in (3, 4) or 0 in shape:
        return None
    readings = _readings(shape)
    for layout in readings:
        if (layout.height, layout.width) == size:
            return layout
    for layout in readings:
        smaller = 1 < layout.height <= size[0] and 1 < layout.width <= size[1]
        if smaller and abs(layout.height * size[1] - layout.width * size[0]) < max(size):
            return layout
    return None


def _is_classes(targets: Array, layout: MapLayout) -> bool:
    """Whether targets are class indices, or 0 and 1 of each class; a few are looked at."""
    if targets.dtype.kind == "b":
        return True
    stride = max(1, max(layout.height, layout.width) // _PROBED)
    index = (slice(None, None, max(1, len(targets) // _PROBED)), *layout.sample_index(stride))
    probed = targets[index]
    if layout.classes > 1:
        return bool(np.all((probed == 0) | (probed == 1)))
    if targets.dtype.kind in "iu":
        return True
    return bool(np.all(probed == np.floor(probed)))
