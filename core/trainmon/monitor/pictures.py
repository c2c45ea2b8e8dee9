"""Reads the header of an encoded picture: enough to refuse what a browser could not show.

Nothing is decoded. At 50 sessions with 60 frames of 16 tiles a second there are 48,000 pictures a
second to look at, so a JPEG header that was walked once is recognised by its bytes afterwards:
one encoder writes the same header on all tiles of one size.
"""

from __future__ import annotations

import struct

from trainmon.v1.telemetry_pb2 import ImageData

__all__ = ["MAX_EDGE", "PictureChecker"]

#: Greatest edge of a picture, in pixels.
MAX_EDGE = 512
_CHANNELS = frozenset({0, 1, 3, 4})  # 0: unset

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">II")
_PNG_SIZE_AT = 16
_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_SIZE = struct.Struct(">HH")
#: Start-of-frame markers: C0 to CF but for the tables C4, C8 and CC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers without a length: TEM, RST0 to RST7, SOI.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
#: Headers remembered; a run has a handful of tile sizes.
_REMEMBERED = 8


class PictureChecker:
    """Checks pictures of one producer."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, tuple[int, int]]] = []
        self.corrections = 0
        """How often a declared size was wrong."""

    def complaint(self, image: ImageData) -> str:
        """Return what is wrong with a picture; empty where nothing is.

        A declared size that differs from the encoded one, both within bounds, is corrected.
        """
        size = self._size(image.format, image.image_bytes)
        if size is None:
            if image.format not in {"jpeg", "png"}:
                return f"format is {image.format[:32]!r}, but should be 'jpeg' or 'png'"
            return f"image_bytes are no {image.format} file"
        if image.channels not in _CHANNELS:
            return f"channels is {image.channels}, but should be 1, 3 or 4"
        for width, height in ((image.width, image.height), size):
            if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE):
                return (
                    f"it is {width}x{height} pixels, but should be 1 to {MAX_EDGE} each way: "
                    "the training must reduce it"
                )
        if size != (image.width, image.height):
            image.width, image.height = size
            self.corrections += 1
        return ""

    def _size(self, form: str, data: bytes) -> tuple[int, int] | None:
        if form == "png":
            return _png_size(data)
        if form != "jpeg":
            return None
        for header, size in self._headers:
            if data.startswith(header):
                return size
        found = _jpeg_size(data)
        if found is None:
            return None
        end, size = found
        self._headers = [(data[:end], size), *self._headers[: _REMEMBERED - 1]]
        return size


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < _PNG_SIZE_AT + _PNG_SIZE.size or not data.startswith(_PNG_MAGIC):
        return None
    if data[12:16] != b"IHDR":
        return None
    width, height = _PNG_SIZE.unpack_from(data, _PNG_SIZE_AT)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, tuple[int, int]] | None:
    """Return where the start of frame ends, and (width, height), walking the markers."""
    if not data.startswith(_JPEG_MAGIC):
        return None
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # padding before a marker
            position += 1
        elif marker in _JPEG_FRAMES:
            height, width = _JPEG_SIZE.unpack_from(data, position + 5)
            return position + 9, (width, height)
        elif marker in {_JPEG_SCAN, _JPEG_END}:
            return None
        elif marker in _JPEG_BARE:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
