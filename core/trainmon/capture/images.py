"""How pictures lie in an array, and how few of their pixels are enough."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trainmon.capture.arrays import Array

__all__ = [
    "ImageLayout",
    "copy_pixels",
    "image_layout",
    "in_memory_order",
    "stride_for",
    "thinning_of",
]

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ImageLayout:
    """Shape of a batch of pictures."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    channels: int | None
    """None: the array has no such axis, the pictures are grey."""
    channels_first: bool

    def sample_shape(self, stride: int) -> tuple[int, ...]:
        """Return the shape of one picture of which every ``stride``-th pixel is taken."""
        height, width = -(-self.height // stride), -(-self.width // stride)
        if self.channels is None:
            return (height, width)
        if self.channels_first:
            return (self.channels, height, width)
        return (height, width, self.channels)

    def sample_index(self, stride: int) -> tuple[slice, ...]:
        """Return the index that takes every ``stride``-th pixel of one picture."""
        pixels = slice(None, None, stride)
        if self.channels is None:
            return (pixels, pixels)
        whole = slice(None)
        return (whole, pixels, pixels) if self.channels_first else (pixels, pixels, whole)


@lru_cache(maxsize=64)  # a loop shows pictures of the same shape again and again
def image_layout(shape: tuple[int, ...]) -> ImageLayout:
    """Tell how pictures lie in an array of this shape.

    (B, H, W) is grey. With four axes the one of size 1, 3 or 4 holds the channels; where both
    could, the last one, unless only the other reading gives pictures more than 4 pixels wide.

    Raises:
        ValueError: It is no batch of pictures.
    """
    if 0 in shape[1:]:
        raise ValueError(f"images of shape {tuple(shape)} have no pixels")
    if len(shape) == 3:
        return ImageLayout(shape[1], shape[2], None, channels_first=False)
    if len(shape) == 4:
        last, first = shape[3] in _CHANNELS, shape[1] in _CHANNELS
        if last and not (first and shape[2] > 4 and shape[3] == shape[1] == 1):
            return ImageLayout(shape[1], shape[2], shape[3], channels_first=False)
        if first:
            return ImageLayout(shape[2], shape[3], shape[1], channels_first=True)
    raise ValueError(
        f"images of shape {tuple(shape)}; expected (batch, height, width), with 1, 3 or 4 "
        "channels as the second or the last axis"
    )


def in_memory_order(images: Array) -> Array:
    """Return a view with the channels where they lie in memory.

    Torch's ``channels_last`` shows (B, H, W, C) as (B, C, H, W): to copy it so would take each
    value by itself, ten times as long.
    """
    if images.ndim != 4 or not image_layout(images.shape).channels_first:
        return images
    strides = images.strides
    return images.transpose(0, 2, 3, 1) if 0 < strides[1] < strides[3] else images


def copy_pixels(target: Array, pixels: Array) -> None:
    """Copy one picture of which every n-th pixel is taken.

    Where the channels lie innermost each is copied by itself: NumPy copies along the innermost
    axis, and runs of three values cost five times as much (16 of 128 px of 256: 1.5 and 0.3 ms).
    """
    channels = pixels.shape[-1]
    strided = pixels.ndim == 3 and pixels.strides[-2] != channels * pixels.itemsize
    if strided and channels in _CHANNELS:
        for channel in range(channels):
            np.copyto(target[..., channel], pixels[..., channel])
    else:
        np.copyto(target, pixels)


@dataclass(frozen=True)
class Thinning:
    """Which pixels of pictures of one shape are taken."""

    layout: ImageLayout
    stride: int
    shape: tuple[int, ...]
    """Of one picture, of which they are taken."""
    pixels: tuple[slice, ...]
    """Their index in one picture."""


@lru_cache(maxsize=64)  # so that nothing of it is worked out anew for a loop's next picture
def thinning_of(
    shape: tuple[int, ...], tile_size: int, bytes_per_value: int, room: int
) -> Thinning:
    """Return which pixels are taken of a batch of pictures of this shape; see ``stride_for``.

    Raises:
        ValueError: It is no batch of pictures.
    """
    layout = image_layout(shape)
    stride = stride_for(layout, tile_size, bytes_per_value, room)
    return Thinning(layout, stride, layout.sample_shape(stride), layout.sample_index(stride))


def stride_for(layout: ImageLayout, tile_size: int, bytes_per_value: int, room: int) -> int:
    """Return the greatest stride at which a picture's longer edge stays at least ``tile_size``.

    Greater still where so many pixels would not fit into ``room`` bytes.
    """
    longer = max(layout.height, layout.width)
    stride = 1 if longer <= tile_size else (longer - 1) // (tile_size - 1)
    while True:
        values = 1
        for edge in layout.sample_shape(stride):
            values *= edge
        if values * bytes_per_value <= room:
            return stride
        stride += 1
