"""Builds the messages viewers get, once for all of them, from bytes that are serialised already.

Encoding: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from trainmon.v1.dashboard_pb2 import WatchSessionResponse

__all__ = ["MAX_UINT64", "EventField", "encode_event", "field_in", "read_varint", "varint"]

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


_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_TIMESTAMP_TAG = bytes([WatchSessionResponse.TIMESTAMP_MS_FIELD_NUMBER << 3])
_CURSOR_TAG = bytes([WatchSessionResponse.CURSOR_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])


def encode_event(field: int, payload: bytes | memoryview, timestamp_ms: int, cursor: str) -> bytes:
    """Return a serialised WatchSessionResponse without serialising ``payload`` again.

    Args:
        field: Which event, of :class:`EventField`.
        payload: The event's own message, serialised.
        timestamp_ms: The monitor's wall clock.
        cursor: Where a viewer resumes after this event.
    """
    text = cursor.encode("ascii")
    return b"".join(
        (
            _TIMESTAMP_TAG,
            varint(timestamp_ms),
            _CURSOR_TAG,
            varint(len(text)),
            text,
            bytes([field << 3 | _LENGTH_DELIMITED]),
            varint(len(payload)),
            payload,
        )
    )


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Return the number that begins at a position, and where it ends.

    Raises:
        ValueError: The bytes end within it.
    """
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is cut short")


def field_in(message: bytes, number: int) -> memoryview | None:
    """Return the bytes of a submessage, not copied, at a cost that does not depend on its size.

    Args:
        message: Serialised, and known to be whole.
        number: Of the field.

    Returns:
        None where the field is not there exactly once, or other parts are of a kind not known here.
    """
    found: memoryview | None = None
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            size, position = read_varint(message, position)
            if tag >> 3 == number:
                if found is not None:
                    return None
                found = memoryview(message)[position : position + size]
            position += size
        elif kind == _VARINT:
            _, position = read_varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            return None
    return found
