"""One file of frames."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainmon.relay.spool.frames import LEAST_BYTES, Frame, body_length, pack, unpack

__all__ = ["Segment", "segments_in"]

_NAME = re.compile(r"(\d{1,20})-(\d{1,20})\.frames")


class Segment:
    """One file of frames, the next of which begins at ``size``.

    Args:
        path: The file.
        index: Counts the segments of a spool.
        first: No record in it has a lesser number.
        size: Bytes of whole frames; what lies behind them is overwritten.
        descriptor: Of the file, open for reading and writing; None: it is opened when needed.
    """

    def __init__(
        self, path: Path, index: int, first: int, size: int, descriptor: int | None = None
    ) -> None:
        self.path = path
        self.index = index
        self.first = first
        self.size = size
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path, index: int, first: int) -> Segment:
        """Make a new file.

        Raises:
            OSError: It cannot be made.
        """
        path = folder / f"{index:08d}-{first}.frames"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return cls(path, index, first, 0, os.open(path, flags, 0o600))

    def append(self, frame: Frame) -> int:
        """Write a frame; return its bytes.

        Raises:
            OSError: It could not be written whole, and is not there.
        """
        data = pack(frame)
        try:
            written = os.pwrite(self._open(), data, self.size)
            if written < len(data):  # there is no room for all; the rest tells why
                written += os.pwrite(self._open(), data[written:], self.size + written)
            if written < len(data):
                raise OSError(28, f"{written} of {len(data)} bytes could be written")
        except OSError:
            with suppress(OSError):  # what is left is no whole frame, and is overwritten
                os.ftruncate(self._open(), self.size)
            raise
        self.size += len(data)
        return len(data)

    def frame_at(self, offset: int) -> tuple[Frame, int] | None:
        """Return the frame at an offset and the offset behind it; None: there is none.

        Raises:
            OSError: The file cannot be read.
        """
        head = os.pread(self._open(), LEAST_BYTES, offset)
        try:
            end = offset + LEAST_BYTES + body_length(head)
            if end > self.size:
                return None
            return unpack(os.pread(self._open(), end - offset, offset)), end
        except ValueError:
            return None

    def frames(self) -> Iterator[Frame]:
        """Return every frame up to the first that is not whole, and end the segment there."""
        offset = 0
        while (found := self.frame_at(offset)) is not None:
            frame, offset = found
            yield frame
        self.size = offset

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Delete the file.

        Raises:
            OSError: It cannot be deleted.
        """
        self.close()
        self.path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return self._descriptor


def segments_in(folder: Path) -> list[Segment]:
    """Return the segments of a folder, the oldest first.

    Raises:
        OSError: It cannot be read.
    """
    found = []
    for entry in os.scandir(folder):
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            path, size = Path(entry.path), entry.stat().st_size
            found.append(Segment(path, int(match[1]), int(match[2]), size))
    return sorted(found, key=lambda segment: segment.index)
