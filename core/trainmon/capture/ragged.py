"""Pictures of different sizes, as detection has them: each into one corner of a common canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainmon.capture.arrays import Array
from trainmon.capture.images import ImageLayout, copy_pixels, image_layout

__all__ = ["Canvas", "RaggedImages", "RaggedSource", "read_ragged"]


@dataclass(frozen=True)
class Canvas:
    """Where pictures of any size are copied to, a corner of it each."""

    edge: int
    """Pixels."""
    channels: int | None
    channels_first: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the canvas."""
        whole = ImageLayout(self.edge, self.edge, self.channels, self.channels_first)
        return whole.sample_shape(1)

    def stride(self, layout: ImageLayout) -> int:
        """Return the least stride at which a picture fits."""
        return math.ceil(max(layout.height, layout.width) / self.edge)

    def size(self, layout: ImageLayout) -> tuple[int, int]:
        """Return height and width of a picture's copy."""
        stride = self.stride(layout)
        return -(-layout.height // stride), -(-layout.width // stride)


@dataclass(frozen=True)
class RaggedImages:
    """The chosen pictures of a batch, each of its own size, of one type and as many channels."""

    pictures: list[Array]
    """(H, W), (C, H, W) or (H, W, C)."""
    layouts: list[ImageLayout]

    def canvas(self, tile_size: int, room: int) -> Canvas:
        """Return where they fit.

        Args:
            tile_size: Edge of a tile in pixels.
            room: Bytes of one picture.
        """
        first, itemsize = self.layouts[0], self.pictures[0].dtype.itemsize
        edge = min(tile_size, math.isqrt(room // ((first.channels or 1) * itemsize)))
        return Canvas(edge, first.channels, first.channels_first)


@dataclass(frozen=True)
class RaggedSource:
    """Pictures of different sizes as the source of a frame's."""

    images: RaggedImages
    canvas: Canvas

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample in the frame."""
        return self.canvas.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in the frame."""
        return self.images.pictures[0].dtype

    def copy(self, target: Array) -> None:
        """Copy every n-th pixel of each picture into the upper left corner of its place."""
        for picture, layout, place in zip(
            self.images.pictures, self.images.layouts, target, strict=True
        ):
            height, width = self.canvas.size(layout)
            corner = ImageLayout(height, width, layout.channels, layout.channels_first)
            index = tuple(slice(0, length) for length in corner.sample_shape(1))
            copy_pixels(place[index], picture[layout.sample_index(self.canvas.stride(layout))])


def read_ragged(pictures: list[Array]) -> RaggedImages:
    """Return pictures of different sizes, ready to be copied.

    Raises:
        ValueError: One is no picture, or they have different channels or types.
    """
    layouts = [image_layout((1, *picture.shape)) for picture in pictures]
    kinds = {(layout.channels, layout.channels_first) for layout in layouts}
    if len(kinds) != 1 or len({picture.dtype for picture in pictures}) != 1:
        told = sorted({f"{picture.dtype} {picture.shape}" for picture in pictures})
        raise ValueError(f"images of different kinds in one batch: {', '.join(told[:4])}")
    return RaggedImages(pictures, layouts)
