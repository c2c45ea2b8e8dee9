"""Arrays of any type and range to tiles, and tiles to PNG or JPEG.

Pixel values, where the normalisation is not told, are guessed per frame: unsigned bytes are taken
as they are, truth values and what lies within 0 to 1 are scaled to 255, what lies within 0 to 255
and reaches beyond 127 is taken as it is, and anything else is stretched from its least to its
greatest value, tile by tile. NaN is black.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainmon.v1.telemetry_pb2 import ImageData

__all__ = ["MIN_EDGE", "encode", "normalize_layout", "reduce_tile", "to_bytes"]

Array = npt.NDArray[Any]

#: A picture whose longer edge is smaller is enlarged to at least this, in pixels.
MIN_EDGE = 32
#: Up to this longer edge, in pixels, PNG is as small as JPEG and stays crisp.
PNG_EDGE = 64
#: Rounding in the user's own arithmetic may leave 0 to 1 by so much.
_SLACK = 1e-3
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def normalize_layout(images: Array, *, channels_first: bool) -> Array:
    """Return pictures as (N, H, W, channels) with 1, 3 or 4 channels, not copied.

    Raises:
        ValueError: They are no pictures.
    """
    if images.ndim == 3:
        images = images[..., np.newaxis]
    elif images.ndim == 4 and channels_first:
        images = np.moveaxis(images, 1, -1)
    if images.ndim != 4 or images.shape[-1] not in _MODES or 0 in images.shape[1:3]:
        raise ValueError(
            f"images of shape {images.shape}; expected (samples, height, width) with 1, 3 or 4 "
            "channels"
        )
    return images


def to_bytes(images: Array, normalization: Mapping[str, Sequence[float]] | None = None) -> Array:
    """Return pictures (N, H, W, channels) of any type as unsigned bytes.

    Args:
        images: Real numbers or truth values.
        normalization: ``mean`` and ``std`` per channel that were applied to pixels from 0 to 1.

    Raises:
        ValueError: Numbers of a kind that no picture has.
    """
    pixels: Array
    if images.dtype == np.uint8:  # raw, whatever is done to them before the model sees them
        pixels = images.copy()  # the slot is given back before this is encoded
        return pixels
    if images.dtype == np.bool_:
        pixels = images.astype(np.uint8) * np.uint8(255)
        return pixels
    if images.dtype.kind not in "iuf":
        raise ValueError(f"images of type {images.dtype}; expected whole or real numbers")
    pixels = images.astype(np.float32)
    finite = np.isfinite(pixels)
    if not finite.all():
        pixels = _without_holes(pixels, finite)
    if normalization:
        return _clip(_undo(pixels, normalization) * 255)
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if low >= -_SLACK and high <= 1 + _SLACK:
        return _clip(pixels * 255)
    if low >= 0 and 127 < high <= 255:
        return _clip(pixels)
    return _stretch(pixels)


def _without_holes(pixels: Array, finite: Array) -> Array:
    """Replace NaN by 0 and infinities by the greatest and least finite value."""
    high = pixels.max(initial=-np.inf, where=finite)
    low = pixels.min(initial=np.inf, where=finite)
    if low > high:
        low = high = np.float32(0)
    filled: Array = np.nan_to_num(pixels, copy=False, nan=0.0, posinf=high, neginf=low)
    return filled


def _undo(pixels: Array, normalization: Mapping[str, Sequence[float]]) -> Array:
    channels = pixels.shape[-1]
    mean, std = (
        np.resize(np.asarray(normalization[key], np.float32), channels) for key in ("mean", "std")
    )
    undone: Array = pixels * std + mean
    return undone


def _clip(pixels: Array) -> Array:
    rounded: Array = (np.clip(pixels, 0, 255) + np.float32(0.5)).astype(np.uint8)
    return rounded


def _stretch(pixels: Array) -> Array:
    """Stretch each tile from its least to its greatest value; an even one becomes black."""
    low = pixels.min(axis=(1, 2, 3), keepdims=True)
    high = pixels.max(axis=(1, 2, 3), keepdims=True)
    # Halves first: the difference of the two greatest floats would overflow.
    span = high / 2 - low / 2
    return _clip((pixels / 2 - low / 2) / np.where(span > 0, span, 1) * 255)


def reduce_tile(image: Image.Image, tile_size: int) -> Image.Image:
    """Bring a picture to the size of a tile, its proportions kept.

    A longer edge above ``tile_size`` is reduced to it; one below 32 is enlarged by a whole factor
    without smoothing and padded with black (with nothing, where it has an alpha channel) to a
    square.
    """
    longer = max(image.size)
    if longer > tile_size:
        width, height = (max(1, round(edge * tile_size / longer)) for edge in image.size)
        # A box is a third of the work of better filters, and the training strides first.
        return image.resize((width, height), Image.Resampling.BOX)
    if longer < MIN_EDGE:
        factor = -(-MIN_EDGE // longer)
        size = (image.width * factor, image.height * factor)
        return _squared(image.resize(size, Image.Resampling.NEAREST))
    return image


def _squared(image: Image.Image) -> Image.Image:
    if image.width == image.height:
        return image
    edge = max(image.size)
    square = Image.new(image.mode, (edge, edge), 0)
    square.paste(image, ((edge - image.width) // 2, (edge - image.height) // 2))
    return square


def encode(tile: Image.Image, quality: int, source_edge: int) -> ImageData:
    """Encode a tile: PNG where the picture was small or has an alpha channel, else JPEG.

    Args:
        tile: Grey, RGB or RGBA.
        quality: Of a JPEG, 1 to 95.
        source_edge: Longer edge of the picture it was made from, in pixels.
    """
    channels = len(tile.getbands())
    file = io.BytesIO()
    if channels == 4 or max(source_edge, *tile.size) <= PNG_EDGE:
        format_ = "png"
        tile.save(file, "PNG", compress_level=1)
    else:
        format_ = "jpeg"
        tile.save(file, "JPEG", quality=quality)
    return ImageData(
        image_bytes=file.getvalue(),
        format=format_,
        width=tile.width,
        height=tile.height,
        channels=channels,
    )
