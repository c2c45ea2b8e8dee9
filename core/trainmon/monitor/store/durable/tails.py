"""The rows of a session's newest records, which are not yet in chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from sqlalchemy import Connection, select

from trainmon.monitor.store.columns import Rows, join_rows
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.codec import decode_rows
from trainmon.monitor.store.durable.damage import Damage
from trainmon.v1.telemetry_pb2 import MetricData, MetricSeries

__all__ = ["TailRows", "read_tail"]

Key = tuple[str, int]
#: From so many rows on, an array is made of them at once.
_LARGE_ROWS = 32


class TailRows:
    """Rows by series and attempt, in the order they came."""

    def __init__(self) -> None:
        self._gathered: dict[Key, _Gathered] = {}

    def add(self, each: MetricSeries) -> None:
        """Add the rows of one series of one record."""
        gathered = self._gathered.get((each.name, each.attempt))
        if gathered is None:
            gathered = self._gathered[each.name, each.attempt] = _Gathered()
        gathered.add(each)

    def rows(self, key: Key) -> Rows | None:
        """Return the rows of a series; None where there are none."""
        gathered = self._gathered.get(key)
        return gathered.rows() if gathered is not None else None


class _Gathered:
    """Rows of one series: those of small records gathered in lists, of large ones in arrays."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self._plain: tuple[list[float], list[float], list[float]] = ([], [], [])
        self._extremes: tuple[list[float], list[float], list[float]] | None = None

    def add(self, each: MetricSeries) -> None:
        if len(each.steps) >= _LARGE_ROWS:
            self._gather()
            self._parts.append(decode_rows(each.SerializeToString()))
            return
        steps, times, values = self._plain
        if each.counts and self._extremes is None:
            self._extremes = (values[:], values[:], [1.0] * len(values))
        steps.extend(each.steps)
        times.extend(each.times)
        values.extend(each.values)
        if self._extremes is not None:
            minimums, maximums, counts = self._extremes
            minimums.extend(each.minimums or each.values)
            maximums.extend(each.maximums or each.values)
            counts.extend(each.counts or [1.0] * len(each.values))

    def rows(self) -> Rows | None:
        self._gather()
        return join_rows(self._parts) if self._parts else None

    def _gather(self) -> None:
        if self._plain[0]:
            columns = (*self._plain, *(self._extremes or ()))
            self._parts.append(Rows(*(np.array(each, dtype=np.float64) for each in columns)))
        self._plain, self._extremes = ([], [], []), None


def read_tail(
    connection: Connection,
    session: int,
    wanted: Iterable[Any],
    damage: Damage,
    upto: int | None = None,
) -> TailRows:
    """Return what is not yet compacted, and can be read.

    Args:
        connection: In a transaction.
        session: Whose.
        wanted: Rows of the table of series, with name, attempt and compacted.
        damage: Hears of each record that cannot be read.
        upto: The last position; None: to the end.
    """
    compacted = {(row.name, row.attempt): int(row.compacted) for row in wanted}
    found = TailRows()
    if not compacted:
        return found
    table = schema.tail
    chosen = (table.c.session == session) & (table.c.position > min(compacted.values()))
    if upto is not None:
        chosen &= table.c.position <= upto
    statement = select(table.c.position, table.c.message).where(chosen).order_by(table.c.position)
    for position, message in connection.execute(statement):
        for each in _series_of(message, session, position, damage):
            after = compacted.get((each.name, each.attempt))
            if after is not None and position > after:
                found.add(each)
    return found


def _series_of(
    message: bytes, session: int, position: int, damage: Damage
) -> Iterable[MetricSeries]:
    try:
        series = MetricData.FromString(message).series
        if not all(map(_is_whole, series)):
            raise ValueError("its columns are not equally long")
    except (DecodeError, TypeError, ValueError) as error:
        damage.row(f"record {position} of session row {session}", error)
        return ()
    return series


def _is_whole(each: MetricSeries) -> bool:
    rows = len(each.steps)
    extremes = (each.minimums, each.maximums, each.counts)
    return len(each.times) == len(each.values) == rows and all(
        len(column) in {0, rows} for column in extremes
    )
