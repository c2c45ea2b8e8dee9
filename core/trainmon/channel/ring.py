"""A ring of records in shared memory: one process writes, another reads, neither waits.

Layout: the writer's position (u64 at 0) and the reader's (u64 at 64, its own cache line), both
counted in bytes since the beginning and never wrapped, then the data from byte 128. A record is
its length (u32), its CRC-32 (u32), its bytes, and padding to 8. One that would cross the end
leaves a mark there and starts over at the front.

Whatever was written stays readable when the writer dies at any instant: its position moves only
after the bytes are in place. The checksum guards against a processor that shows the position
before the bytes (the reader then tries again).
"""

from __future__ import annotations

import struct
import threading
import zlib

__all__ = ["Ring", "RingReader", "RingWriter"]

_HEADER = struct.Struct("=II")
_HEADER_BYTES = _HEADER.size
#: What a record takes beside its bytes: its header, and padding at most.
_AROUND = _HEADER_BYTES + 7
_DATA = 128
_WRITER, _READER = 0, 8  # indices of u64
_WRAP = 0xFFFFFFFF
_LOCKED_S = 0.05  # a write takes some 2 µs: whoever waits longer has interrupted it
_PATIENCE = 100  # reads that may see a bad checksum before the record is given up as corrupt


def _padded(length: int) -> int:
    return (length + _AROUND) & ~7


class Ring:
    """What both ends know of a ring.

    Args:
        view: The shared bytes, a multiple of 8; ``len(view) - 128`` hold records.
    """

    def __init__(self, view: memoryview) -> None:
        self._view = view
        # A cast view stores 8 aligned bytes at once, where struct writes byte by byte.
        self._positions = view[:_DATA].cast("Q")
        self._data = view[_DATA:]
        self.capacity = len(self._data)

    @property
    def written(self) -> int:
        """Bytes written since the beginning: where the next record begins."""
        return self._positions[_WRITER]

    @property
    def released(self) -> int:
        """Bytes released since the beginning."""
        return self._positions[_READER]

    @property
    def used(self) -> int:
        """Bytes written and not yet released."""
        return self._positions[_WRITER] - self._positions[_READER]

    def close(self) -> None:
        """Let go of the shared bytes."""
        for view in (self._positions, self._data, self._view):
            view.release()


class RingWriter(Ring):
    """The end that writes; from any thread, one at a time."""

    def __init__(self, view: memoryview) -> None:
        super().__init__(view)
        self._lock = threading.Lock()

    def write(self, payload: bytes, reserve: int = 0) -> bool:
        """Append a record, or return False where fewer than ``reserve`` bytes would stay free.

        False, too, from a signal handler that interrupted a write.
        """
        if not self._lock.acquire(True, _LOCKED_S):
            return False
        try:
            positions, data, capacity = self._positions, self._data, self.capacity
            length = len(payload)
            need = (length + _AROUND) & ~7  # as _padded says, without a call at every step
            position = positions[_WRITER]
            offset = position % capacity
            room = capacity - offset
            skip = room if room < need else 0
            if position - positions[_READER] + skip + need + reserve > capacity:
                return False
            if skip:
                _HEADER.pack_into(data, offset, _WRAP, 0)
                position += skip
                offset = 0
            _HEADER.pack_into(data, offset, length, zlib.crc32(payload))
            start = offset + _HEADER_BYTES
            data[start : start + length] = payload
            positions[_WRITER] = position + need
            return True
        finally:
            self._lock.release()


class RingReader(Ring):
    """The end that reads. What was read is freed only by :meth:`release`."""

    def __init__(self, view: memoryview) -> None:
        super().__init__(view)
        self._position: int = self._positions[_READER]
        self._bad_reads = 0
        self.corrupt = 0
        """Records given up because their checksum never came right."""

    @property
    def position(self) -> int:
        """Bytes read since the beginning: where the next record begins."""
        return self._position

    @property
    def unread(self) -> int:
        """Bytes written and not yet read."""
        return self._positions[_WRITER] - self._position

    def resume(self, position: int) -> None:
        """Read on where another reader, which is gone, has left off for good.

        Args:
            position: Of the first record that it did not keep; it may not have released those
                before. One that lies outside of what is in the ring changes nothing.
        """
        released: int = self._positions[_READER]
        self._position = position if released < position <= self._positions[_WRITER] else released

    def read(self) -> bytes | None:
        """Return the next record, or None where there is none yet."""
        while self._position < self._positions[_WRITER]:
            offset = self._position % self.capacity
            length, checksum = _HEADER.unpack_from(self._data, offset)
            if length == _WRAP:
                self._position += self.capacity - offset
                continue
            start = offset + _HEADER.size
            payload = bytes(self._data[start : start + length])
            if zlib.crc32(payload) == checksum:
                self._position += _padded(length)
                self._bad_reads = 0
                return payload
            if not self._give_up(length, offset):
                return None
        return None

    def _give_up(self, length: int, offset: int) -> bool:
        """Skip a record that stays corrupt; False: try again later."""
        self._bad_reads += 1
        if self._bad_reads < _PATIENCE:
            return False
        self._bad_reads = 0
        self.corrupt += 1
        fits = _padded(length) <= self.capacity - offset
        # A length that cannot be true leaves no way to find the next record: skip all there is.
        self._position = self._position + _padded(length) if fits else self._positions[_WRITER]
        return True

    def release(self, position: int | None = None) -> None:
        """Free everything read so far, or only what lies before ``position``."""
        self._positions[_READER] = self._position if position is None else position
