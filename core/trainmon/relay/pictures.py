"""Arrays of any type and range to tiles, and tiles to PNG or JPEG.

Pixel values, where the normalisation is not told, are guessed per frame: unsigned bytes are taken
as they are, truth values and what lies within 0 to 1 are scaled to 255, what lies within 0 to 255
and reaches beyond 127 is taken as it is, and anything else is stretched from its least to its
greatest value, tile by tile. NaN is black.

What is small is looked at enlarged, pixel by pixel: there PNG is exact, and for digits and drawings
hardly larger than JPEG. Of photographs it is several times as large, and the work as well: 16 of
64 px took 5 ms and 155 KB, JPEG 0.7 ms and 45 KB. So colour, most of which is photographs, is PNG
only where a pixel of it is a block on the page, and JPEG beyond; up to twice that edge with its
colours in full, as JPEG else halves them, which blurs thin coloured lines.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainmon.v1.telemetry_pb2 import ImageData

__all__ = ["MIN_EDGE", "as_image", "encode", "normalize_layout", "reduce_tile", "to_bytes"]

Array = npt.NDArray[Any]

#: A picture whose longer edge is smaller is enlarged to at least this, in pixels.
MIN_EDGE = 32
#: Up to this longer edge, in pixels, a grey picture is PNG, and a coloured one keeps its colours.
CRISP_EDGE = 64
#: Up to this one a coloured picture is PNG.
PNG_COLOR_EDGE = 32
#: Rounding in the user's own arithmetic may leave 0 to 1 by so much.
_SLACK = 1e-3
#: Tiles with a lesser range of values are even: to stretch them would overflow.
_LEAST_SPAN = 1e-30
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


def to_bytes(
    images: Array | Sequence[Array], normalization: Mapping[str, Sequence[float]] | None = None
) -> list[Array]:
    """Return pictures, (H, W, channels) of any type each, as unsigned bytes.

    Those that are such already are not copied.

    Args:
        images: Real numbers or truth values, all of one type; perhaps of different sizes.
        normalization: ``mean`` and ``std`` per channel that were applied to pixels from 0 to 1.

    Raises:
        ValueError: Numbers of a kind that no picture has.
    """
    if not len(images):
        return []
    dtype = images[0].dtype
    if dtype == np.uint8:  # raw, whatever is done to them before the model sees them
        return list(images)
    if dtype == np.bool_:
        return [tile * np.uint8(255) for tile in images]
    if dtype.kind not in "iuf":
        raise ValueError(f"images of type {dtype}; expected whole or real numbers")
    exact = np.result_type(dtype, np.float32)
    undone = _undoing(normalization, images[0].shape[-1]) if normalization else None
    scales = _guess(images) if undone is None else [undone] * len(images)
    # Tile by tile, so that what each pass works on is still in the processor's cache.
    return [
        _scaled(tile, exact, *scale).astype(np.uint8)
        for tile, scale in zip(images, scales, strict=True)
    ]


_Scale = tuple[Any, Any]
"""What is subtracted from each value, and what the difference is multiplied by."""


def _undoing(normalization: Mapping[str, Sequence[float]], channels: int) -> _Scale:
    mean, std = (np.resize(np.asarray(normalization[key]), channels) for key in ("mean", "std"))
    return -mean / std, std * 255


def _guess(images: Array | Sequence[Array]) -> list[_Scale]:
    """Guess how the values of each tile stand for brightness; the rule is the module's."""
    ranges = [_range(tile) for tile in images]
    low = min((low for low, _ in ranges), default=0.0)
    high = max((high for _, high in ranges), default=0.0)
    if low >= -_SLACK and high <= 1 + _SLACK:
        return [(0, 255)] * len(ranges)
    if low >= 0 and 127 < high <= 255:
        return [(0, 1)] * len(ranges)
    return [_stretching(*each) for each in ranges]


def _range(tile: Array) -> tuple[float, float]:
    """Return the least and greatest finite value; 0 where there is none."""
    low, high = float(tile.min()), float(tile.max())
    if not np.isfinite((low, high)).all():
        finite = tile[np.isfinite(tile)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return low, high


def _stretching(low: float, high: float) -> _Scale:
    """Stretch a tile from its least to its greatest value; an even one becomes black."""
    span = high - low
    return (low, 255 / span) if span > _LEAST_SPAN else (low, 0)


def _scaled(tile: Array, dtype: np.dtype[Any], shift: Any, factor: Any) -> Array:
    """Return a tile as brightness from 0 to 255.5, computed in a type of real numbers."""
    scale = np.asarray(factor, dtype)
    values: Array
    with np.errstate(all="ignore"):  # infinities and NaN are shown, not warned of
        if np.any(shift):
            values = np.subtract(tile, np.asarray(shift, dtype), dtype=dtype)
            values *= scale
        else:
            values = np.multiply(tile, scale, dtype=dtype)
        values += dtype.type(0.5)  # to round, not to cut
        np.clip(values, 0, 255.5, out=values)
    if np.isnan(values.sum()):
        values[np.isnan(values)] = 0
    return values


def as_image(tile: Array) -> Image.Image:
    """Return a picture of unsigned bytes, (H, W, channels), for Pillow, copied once."""
    height, width, channels = tile.shape
    mode = _MODES[channels]
    planes = [tile[..., channel] for channel in range(channels)]
    if channels > 1 and not tile.flags.c_contiguous and planes[0].flags.c_contiguous:
        # Channels came first: each is a picture as it lies there.
        size = (width, height)
        return Image.merge(
            mode, [Image.frombuffer("L", size, plane, "raw", "L", 0, 1) for plane in planes]
        )
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(tile))


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


def encode(
    tile: Image.Image, quality: int, source_edge: int, image: ImageData | None = None
) -> ImageData:
    """Encode a tile: PNG where the picture was small or has an alpha channel, else JPEG.

    Args:
        tile: Grey, RGB or RGBA.
        quality: Of a JPEG, 1 to 95.
        source_edge: Longer edge of the picture it was made from, in pixels.
        image: Empty; filled and returned. None: a new one.
    """
    channels = len(tile.getbands())
    image = ImageData() if image is None else image
    file = io.BytesIO()
    if channels == 4 or source_edge <= (CRISP_EDGE if channels == 1 else PNG_COLOR_EDGE):
        image.format = "png"
        tile.save(file, "PNG", compress_level=1)
    else:
        image.format = "jpeg"
        # -1 leaves it to the library, which halves colours each way.
        subsampling = 0 if source_edge <= CRISP_EDGE else -1
        tile.save(file, "JPEG", quality=quality, subsampling=subsampling)
    image.image_bytes = file.getvalue()
    image.width, image.height, image.channels = tile.width, tile.height, channels
    return image
