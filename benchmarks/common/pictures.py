"""Pictures as dear to encode as photographs, and the step drawn into them.

What a viewer got is compared with what the training drew: in the upper half of the first picture
stand 32 blocks, black or white, too large for JPEG to blur: the step in 24 of them and its checksum
in 8.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MEAN", "STD", "draw", "normalised", "photographs", "read"]

Array = npt.NDArray[Any]

#: Of ImageNet, as most trainings normalise.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ROWS, _COLUMNS = 4, 8
_LIGHT = 128
#: How fast detail fades with its fineness: 16 of 256 px come to some 280 KB in JPEG.
_FADING = 1.45


def photographs(count: int, edge: int, seed: int = 0) -> Array:
    """Return pictures (count, edge, edge, 3) of bytes with the spectrum of photographs."""
    random = np.random.default_rng(seed)
    ways = np.fft.fftfreq(edge)[:, None], np.fft.rfftfreq(edge)[None, :]
    fineness = np.hypot(*ways)
    fineness[0, 0] = 1.0
    pictures = np.empty((count, edge, edge, 3), np.uint8)
    for picture in pictures:
        grey = _noise(random, edge, fineness)
        for channel in range(3):
            picture[..., channel] = np.clip(
                128 + 48 * (0.9 * grey + 0.4 * _noise(random, edge, fineness)), 0, 255
            )
    return pictures


def _noise(random: np.random.Generator, edge: int, fineness: Array) -> Array:
    waves = random.normal(size=(2, *fineness.shape))
    found: Array = np.fft.irfft2((waves[0] + 1j * waves[1]) / fineness**_FADING, (edge, edge))
    return (found - found.mean()) / found.std()


def normalised(pictures: Array) -> Array:
    """Return them as Torch trainings have them: (count, 3, edge, edge), float32, normalised."""
    scaled = (pictures / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def draw(picture: Any, step: int) -> None:
    """Draw a step into a picture, (edge, edge, 3) or (3, edge, edge), of bytes or normalised.

    It may be a NumPy array or a Torch tensor.
    """
    first = picture.shape[0] == 3
    block = picture.shape[-1 if first else 0] // _COLUMNS
    # Where normalised, white differs a little between the channels: what lies beyond is clipped.
    dark, light = (0, 255) if "uint8" in str(picture.dtype) else (-3.0, 3.0)
    for place, bit in enumerate(_bits(step)):
        row, column = divmod(place, _COLUMNS)
        rows = slice(row * block, (row + 1) * block)
        columns = slice(column * block, (column + 1) * block)
        value = light if bit else dark
        if first:
            picture[:, rows, columns] = value
        else:
            picture[rows, columns] = value


def read(picture: Array) -> int | None:
    """Return the step drawn into a decoded picture, (edge, edge, 3); None: none that is whole."""
    block = picture.shape[0] // _COLUMNS
    bits = []
    for place in range(_ROWS * _COLUMNS):
        row, column = divmod(place, _COLUMNS)
        centre = picture[
            row * block + block // 4 : (row + 1) * block - block // 4,
            column * block + block // 4 : (column + 1) * block - block // 4,
        ]
        bits.append(bool(centre.mean() > _LIGHT))
    step = sum(1 << place for place in range(24) if bits[place])
    return step if bits == _bits(step) else None


def _bits(step: int) -> list[bool]:
    told = (step & 0xFFFFFF) | zlib.crc32((step & 0xFFFFFF).to_bytes(3, "little")) << 24
    return [bool(told >> place & 1) for place in range(_ROWS * _COLUMNS)]
