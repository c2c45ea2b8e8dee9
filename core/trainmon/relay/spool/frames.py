"""One frame: what one turn of the relay kept. On disk it is whole, or it is not there.

All numbers are little-endian. A frame is ``TMf2``, the bytes of its body (u32), the body's CRC-32
(u32) and the body: position (u64), base (u64), acknowledged (u64), reach (u64), number of its first
record (u64), how many records (u32), bytes of state (u32), the state (JSON), and each record's kind
(u8), flags (u8), bytes of message (u32) and message: a serialised TelemetryRequest without session,
producer and sequence. ``TMf1`` was the same without reach.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from trainmon.relay.entry import Entry, RecordKind

__all__ = ["LEAST_BYTES", "Frame", "body_length", "bytes_on_disk", "pack", "unpack"]

_HEAD = struct.Struct("<4sII")
_BODY = struct.Struct("<QQQQQII")
_OLDER_BODY = struct.Struct("<QQQQII")
_RECORD = struct.Struct("<BBI")
_MAGIC, _OLDER_MAGIC = b"TMf2", b"TMf1"
_LAST = 1
#: Numbers of kinds never change: they are in files.
_CODES = {
    RecordKind.SCALARS: 1,
    RecordKind.KEY_FRAME: 2,
    RecordKind.EPOCH: 3,
    RecordKind.STATUS: 4,
    RecordKind.RESULT: 5,
}
_KINDS = {code: kind for kind, code in _CODES.items()}
#: Bytes before the body.
LEAST_BYTES = _HEAD.size


@dataclass(frozen=True)
class Frame:
    """What one turn kept."""

    position: int
    """Bytes of the record ring up to here are contained in this and earlier frames."""
    base: int
    """What a record's sequence is above its number; the newest frame's holds for all."""
    acknowledged: int
    """Number up to which the monitor had everything; it may have more."""
    reach: int
    """Number up to which records may have been sent with this base; none behind it was."""
    first: int
    """Number of the first record, or of the next one where there is none."""
    records: Sequence[Entry] = ()
    state: bytes = b"{}"
    """What the next relay goes on with, as of ``position``."""


def bytes_on_disk(entry: Entry) -> int:
    """Return what a record takes in a frame."""
    return _RECORD.size + len(entry.message)


def pack(frame: Frame) -> bytes:
    """Return a frame as it is written."""
    parts = [
        _BODY.pack(
            frame.position,
            frame.base,
            frame.acknowledged,
            frame.reach,
            frame.first,
            len(frame.records),
            len(frame.state),
        ),
        frame.state,
    ]
    for entry in frame.records:
        flags = _LAST if entry.last else 0
        parts += (_RECORD.pack(_CODES[entry.kind], flags, len(entry.message)), entry.message)
    body = b"".join(parts)
    return _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body


def body_length(head: bytes) -> int:
    """Return the bytes of a frame's body.

    Raises:
        ValueError: No frame begins so.
    """
    if len(head) < _HEAD.size or head[:4] not in (_MAGIC, _OLDER_MAGIC):
        raise ValueError("no frame begins here")
    length: int = _HEAD.unpack_from(head)[1]
    return length


def unpack(data: bytes) -> Frame:
    """Return the frame that ``data`` is.

    Raises:
        ValueError: It is none, or not whole.
    """
    body = memoryview(data)[_HEAD.size :]
    if body_length(data) != len(body) or _HEAD.unpack_from(data)[2] != zlib.crc32(body):
        raise ValueError("the frame is torn or corrupt")
    try:
        shape = _BODY if data[:4] == _MAGIC else _OLDER_BODY
        *marks, first, count, state_bytes = shape.unpack_from(body)
        position, base, acknowledged, *told = marks
        reach = told[0] if told else first + count - 1  # any may have been sent
        start = shape.size + state_bytes
        records = []
        for number in range(first, first + count):
            code, flags, length = _RECORD.unpack_from(body, start)
            start += _RECORD.size
            message = bytes(body[start : start + length])
            records.append(Entry(_KINDS[code], message, bool(flags & _LAST), number))
            start += length
    except (struct.error, KeyError) as error:
        raise ValueError(f"a frame of another version: {error}") from error
    state = bytes(body[shape.size : shape.size + state_bytes])
    return Frame(position, base, acknowledged, reach, first, records, state)
