"""Reads from a serialised WatchSessionResponse the little that the gateway needs, unparsed.

The pictures in it make up most of what passes here; they are skipped by their length.
"""

from __future__ import annotations

from typing import NamedTuple

from grpclib.const import Status

from trainmon.v1.dashboard_pb2 import SessionSnapshot, WatchSessionResponse
from trainmon_gateway.errors import CallError

__all__ = ["KEEP_ALIVE", "PICTURE", "SNAPSHOT", "Peek", "peek", "says_reset"]

SNAPSHOT = WatchSessionResponse.SNAPSHOT_FIELD_NUMBER
PICTURE = WatchSessionResponse.BATCH_DATA_FIELD_NUMBER
KEEP_ALIVE = WatchSessionResponse.KEEP_ALIVE_FIELD_NUMBER
_CURSOR = WatchSessionResponse.CURSOR_FIELD_NUMBER

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class Peek(NamedTuple):
    """What one response is."""

    cursor: bytes
    """Where a viewer resumes after it; empty where it says nothing."""
    event: int
    """Field number of the event; 0 for none."""
    start: int
    """Where the event's own message begins."""
    end: int
    """Where it ends."""


def peek(message: bytes) -> Peek:
    """Return cursor and kind of a response, at a cost that does not depend on its size.

    Raises:
        CallError: INTERNAL; these bytes are no protobuf message.
    """
    cursor, event, start, end = b"", 0, 0, 0
    position, size = 0, len(message)
    try:
        while position < size:
            tag, position = _varint(message, position)
            field, kind = tag >> 3, tag & 7
            if kind == _LENGTH:
                length, position = _varint(message, position)
                if field == _CURSOR:
                    cursor = message[position : position + length]
                elif field > _CURSOR:
                    event, start, end = field, position, position + length
                position += length
            elif kind == _VARINT:
                _, position = _varint(message, position)
            elif kind in (_FIXED64, _FIXED32):
                position += 8 if kind == _FIXED64 else 4
            else:
                raise _malformed()
    except IndexError:
        raise _malformed() from None
    if position != size:
        raise _malformed()
    return Peek(cursor, event, start, end)


def says_reset(message: bytes, found: Peek) -> bool:
    """Tell whether a snapshot makes its receiver forget what it had."""
    return SessionSnapshot.FromString(message[found.start : found.end]).reset


def _varint(message: bytes, position: int) -> tuple[int, int]:
    byte = message[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, position


def _malformed() -> CallError:
    return CallError(
        Status.INTERNAL, "the monitor sent what is no WatchSessionResponse: update both ends"
    )
