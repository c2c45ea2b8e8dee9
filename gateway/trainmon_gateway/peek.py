"""Reads from a serialised WatchSessionResponse the little that the gateway needs, unparsed.

The pictures in it make up most of what passes here; they are skipped by their length.
"""

from __future__ import annotations

from typing import NamedTuple

from grpclib.const import Status

from trainmon.fields import LENGTH_DELIMITED, walk
from trainmon.v1.dashboard_pb2 import SessionSnapshot, WatchSessionResponse
from trainmon_gateway.errors import CallError

__all__ = ["KEEP_ALIVE", "PICTURE", "SNAPSHOT", "Peek", "peek", "says_reset"]

SNAPSHOT = WatchSessionResponse.SNAPSHOT_FIELD_NUMBER
PICTURE = WatchSessionResponse.BATCH_DATA_FIELD_NUMBER
KEEP_ALIVE = WatchSessionResponse.KEEP_ALIVE_FIELD_NUMBER
_CURSOR = WatchSessionResponse.CURSOR_FIELD_NUMBER


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
    try:
        for field, kind, begin, stop in walk(message):
            if kind != LENGTH_DELIMITED:
                continue
            if field == _CURSOR:
                cursor = message[begin:stop]
            elif field > _CURSOR:
                event, start, end = field, begin, stop
    except ValueError:
        raise CallError(
            Status.INTERNAL, "the monitor sent what is no WatchSessionResponse: update both ends"
        ) from None
    return Peek(cursor, event, start, end)


def says_reset(message: bytes, found: Peek) -> bool:
    """Tell whether a snapshot makes its receiver forget what it had."""
    return SessionSnapshot.FromString(message[found.start : found.end]).reset
