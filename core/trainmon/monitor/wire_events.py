"""Builds the messages viewers get, once for all of them, from bytes that are serialised already."""

from __future__ import annotations

from trainmon.fields import LENGTH_DELIMITED, varint
from trainmon.v1.dashboard_pb2 import WatchSessionResponse

__all__ = ["MAX_UINT64", "EventField", "cursor_field", "encode_event"]

#: Greatest value of most counts on the wire; what exceeds it cannot be serialised.
MAX_UINT64 = 2**64 - 1


class EventField:
    """Field numbers of WatchSessionResponse's events."""

    BATCH_DATA = WatchSessionResponse.BATCH_DATA_FIELD_NUMBER
    COMMAND_RECORD = WatchSessionResponse.COMMAND_RECORD_FIELD_NUMBER
    EPOCH_DATA = WatchSessionResponse.EPOCH_DATA_FIELD_NUMBER
    ERROR = WatchSessionResponse.ERROR_FIELD_NUMBER
    KEEP_ALIVE = WatchSessionResponse.KEEP_ALIVE_FIELD_NUMBER
    METRIC_DATA = WatchSessionResponse.METRIC_DATA_FIELD_NUMBER
    PERFORMANCE_DATA = WatchSessionResponse.PERFORMANCE_DATA_FIELD_NUMBER
    SNAPSHOT = WatchSessionResponse.SNAPSHOT_FIELD_NUMBER
    STATUS_UPDATE = WatchSessionResponse.STATUS_UPDATE_FIELD_NUMBER


_TIMESTAMP_TAG = bytes([WatchSessionResponse.TIMESTAMP_MS_FIELD_NUMBER << 3])
_CURSOR_TAG = bytes([WatchSessionResponse.CURSOR_FIELD_NUMBER << 3 | LENGTH_DELIMITED])


def encode_event(field: int, payload: bytes | memoryview, timestamp_ms: int, cursor: str) -> bytes:
    """Return a serialised WatchSessionResponse without serialising ``payload`` again.

    Args:
        field: Which event, of :class:`EventField`.
        payload: The event's own message, serialised.
        timestamp_ms: The monitor's wall clock.
        cursor: Where a viewer resumes after this event.
    """
    return b"".join(
        (
            _TIMESTAMP_TAG,
            varint(timestamp_ms),
            cursor_field(cursor),
            bytes([field << 3 | LENGTH_DELIMITED]),
            varint(len(payload)),
            payload,
        )
    )


def cursor_field(cursor: str) -> bytes:
    """Return the field of a serialised WatchSessionResponse that says where a viewer resumes."""
    text = cursor.encode("ascii")
    return b"".join((_CURSOR_TAG, varint(len(text)), text))
