"""Rows as the wire's own MetricSeries, written and read a column at a time.

A packed field of doubles is, on the wire, the doubles as they lie in memory, and NumPy takes them
as they are; protobuf's own lists would make an object of each. What is written here any protobuf
library reads: a test holds it against the generated code.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainmon.fields import LENGTH_DELIMITED, varint, walk
from trainmon.monitor.store.columns import Rows
from trainmon.v1.telemetry_pb2 import MetricSeries

__all__ = ["decode_rows", "encode_rows", "pack", "unpack"]

Doubles = NDArray[np.float64]

_NAME = MetricSeries.NAME_FIELD_NUMBER
_STEPS = MetricSeries.STEPS_FIELD_NUMBER
_TIMES = MetricSeries.TIMES_FIELD_NUMBER
_VALUES = MetricSeries.VALUES_FIELD_NUMBER
_MINIMUMS = MetricSeries.MINIMUMS_FIELD_NUMBER
_MAXIMUMS = MetricSeries.MAXIMUMS_FIELD_NUMBER
_COUNTS = MetricSeries.COUNTS_FIELD_NUMBER
_ATTEMPT = MetricSeries.ATTEMPT_FIELD_NUMBER
_MAX_COUNT = 0xFFFFFFFF
_VARINT_BYTES = 5
#: zlib's fastest: a chunk of losses shrinks to about half, at 60 MB a second.
_EFFORT = 1


def encode_rows(name: str, attempt: int, rows: Rows) -> bytes:
    """Return a serialised MetricSeries."""
    parts = [_field(_NAME, name.encode("utf-8"))]
    for number, column in ((_STEPS, rows.steps), (_TIMES, rows.times), (_VALUES, rows.values)):
        parts.append(_doubles(number, column))
    if rows.minimums is not None and rows.maximums is not None and rows.counts is not None:
        parts.append(_doubles(_MINIMUMS, rows.minimums))
        parts.append(_doubles(_MAXIMUMS, rows.maximums))
        parts.append(_field(_COUNTS, _varints(rows.counts)))
    if attempt:
        parts.append(varint(_ATTEMPT << 3) + varint(attempt))
    return b"".join(parts)


def decode_rows(message: bytes) -> Rows:
    """Return the rows of what :func:`encode_rows` wrote.

    Raises:
        ValueError: It is something else.
    """
    columns = {number: payload for number, payload in _fields(message) if payload is not None}
    steps, times, values = (_column(columns, number) for number in (_STEPS, _TIMES, _VALUES))
    if _COUNTS not in columns:
        return Rows(steps, times, values)
    low, high = _column(columns, _MINIMUMS), _column(columns, _MAXIMUMS)
    return Rows(steps, times, values, low, high, _read_varints(columns[_COUNTS]))


def pack(message: bytes) -> bytes:
    """Return a message as it lies in the store."""
    return zlib.compress(message, _EFFORT)


def unpack(stored: bytes) -> bytes:
    """Return the message again.

    Raises:
        ValueError: What was stored is damaged.
    """
    try:
        return zlib.decompress(stored)
    except zlib.error as error:
        raise ValueError(f"what was stored is damaged: {error}") from error


def _field(number: int, payload: bytes) -> bytes:
    return b"".join((varint(number << 3 | LENGTH_DELIMITED), varint(len(payload)), payload))


def _doubles(number: int, column: Doubles) -> bytes:
    return _field(number, np.ascontiguousarray(column, dtype="<f8").tobytes())


def _column(columns: dict[int, memoryview], number: int) -> Doubles:
    return np.frombuffer(columns.get(number, b""), dtype="<f8")


def _fields(message: bytes) -> Iterator[tuple[int, memoryview | None]]:
    view = memoryview(message)
    for number, kind, start, end in walk(message):
        # What has no length is the attempt, a number.
        yield number, view[start:end] if kind == LENGTH_DELIMITED else None


def _varints(counts: Doubles) -> bytes:
    """Return numbers as packed varints: all of their bytes at once, less the leading zeros."""
    numbers = np.minimum(counts, _MAX_COUNT).astype(np.uint64)
    shifts = np.arange(0, 7 * _VARINT_BYTES, 7, dtype=np.uint64)
    groups = numbers[:, None] >> shifts
    more = (groups[:, 1:] > 0).astype(np.uint8) << 7
    octets = (groups & np.uint64(0x7F)).astype(np.uint8)
    octets[:, :-1] |= more
    kept = np.ones(octets.shape, dtype=bool)
    kept[:, 1:] = groups[:, 1:] > 0
    return bytes(octets[kept])


def _read_varints(payload: memoryview) -> Doubles:
    octets = np.frombuffer(payload, dtype=np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = np.repeat(starts, ends - starts + 1)
    places = (np.arange(len(lengths)) - lengths) * 7
    values = (octets[: len(lengths)] & 0x7F).astype(np.float64) * np.exp2(places)
    return np.add.reduceat(values, starts) if len(starts) else np.empty(0)
