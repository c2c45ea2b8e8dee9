"""The rows of a session's newest records, which are not yet in chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from trainmon.monitor.store import schema
from trainmon.monitor.store.columns import Rows
from trainmon.v1.telemetry_pb2 import MetricData, MetricSeries

__all__ = ["TailRows", "read_tail"]

Key = tuple[str, int]


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
    def __init__(self) -> None:
        self.plain: tuple[list[float], list[float], list[float]] = ([], [], [])
        self.extremes: tuple[list[float], list[float], list[float]] | None = None

    def add(self, each: MetricSeries) -> None:
        steps, times, values = self.plain
        if each.counts and self.extremes is None:
            self.extremes = (values[:], values[:], [1.0] * len(values))
        steps.extend(each.steps)
        times.extend(each.times)
        values.extend(each.values)
        if self.extremes is not None:
            minimums, maximums, counts = self.extremes
            minimums.extend(each.minimums or each.values)
            maximums.extend(each.maximums or each.values)
            counts.extend(each.counts or [1.0] * len(each.values))

    def rows(self) -> Rows | None:
        if not self.plain[0]:
            return None
        columns = (*self.plain, *(self.extremes or ()))
        return Rows(*(np.array(column, dtype=np.float64) for column in columns))


def read_tail(
    connection: Connection, session: int, wanted: Iterable[Any], upto: int | None = None
) -> TailRows:
    """Return what is not yet compacted.

    Args:
        connection: In a transaction.
        session: Whose.
        wanted: Rows of the table of series, with name, attempt and compacted.
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
        for each in MetricData.FromString(message).series:
            after = compacted.get((each.name, each.attempt))
            if after is not None and position > after:
                found.add(each)
    return found
