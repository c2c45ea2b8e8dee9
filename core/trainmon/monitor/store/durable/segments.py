"""Files that pictures are appended to: for each a length, a checksum, and its bytes.

What the index does not know of is not there: a picture is written before the transaction that
indexes it is committed, so after a crash a file may be longer than its index says, and what comes
next is written over that.
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "Segments"]

_HEADER = struct.Struct("<II")
_MODE = 0o600


@dataclass(frozen=True)
class Place:
    """Where a picture lies."""

    segment: int
    start: int
    """Of its header, in bytes from the beginning of the file."""
    length: int
    """Of the picture without its header."""
    checksum: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + _HEADER.size + self.length


class Segments:
    """The segment files of every session, a folder for each.

    Args:
        folder: Made with the first picture.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, session: int, segment: int, start: int, data: bytes) -> Place:
        """Write a picture; whatever lay after ``start`` is cut off.

        Raises:
            OSError: The disk is full, or cannot be written.
        """
        checksum = zlib.crc32(data)
        place = Place(segment, start, len(data), checksum)
        path = self._path(session, segment)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            if os.fstat(descriptor).st_size > start:
                os.ftruncate(descriptor, start)
            file.seek(start)
            left = memoryview(_HEADER.pack(len(data), checksum) + data)
            while left:
                left = left[file.write(left) :]
        return place

    def read(self, session: int, place: Place) -> bytes:
        """Return a picture.

        Raises:
            OSError: The file cannot be read.
            ValueError: What lies there is not the picture that was written.
        """
        with self._path(session, place.segment).open("rb") as file:
            file.seek(place.start)
            header = file.read(_HEADER.size)
            data = file.read(place.length)
        if (
            header != _HEADER.pack(place.length, place.checksum)
            or zlib.crc32(data) != place.checksum
        ):
            raise ValueError(f"the picture at {place.start} of segment {place.segment} is damaged")
        return data

    def keep_only(self, session: int, segments: Iterable[int]) -> None:
        """Delete every other segment of a session."""
        kept = {self._path(session, segment).name for segment in segments}
        with suppress(FileNotFoundError):
            for path in self._of(session).iterdir():
                if path.name not in kept:
                    path.unlink()

    def cut(self, session: int, segment: int, end: int) -> None:
        """Cut off what a crash left behind the last picture."""
        with suppress(FileNotFoundError):
            path = self._path(session, segment)
            if path.stat().st_size > end:
                os.truncate(path, end)

    def drop(self, session: int) -> None:
        """Delete everything of a session."""
        shutil.rmtree(self._of(session), ignore_errors=True)

    def sessions(self) -> list[int]:
        """Return the sessions that have a folder."""
        try:
            return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())
        except FileNotFoundError:
            return []

    def _of(self, session: int) -> Path:
        return self._folder / str(session)

    def _path(self, session: int, segment: int) -> Path:
        return self._of(session) / f"{segment:06}.frames"
