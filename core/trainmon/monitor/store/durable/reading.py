"""Reads scalars back: the coarsest level that shows enough, finer where a range begins and ends.

A row of a level above 0 stands for rows of the level below by their places, so what of it is inside
a range is found by going down: extremes and counts are exact for exactly the steps asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from trainmon.monitor.store.base import AnswerTooLargeError, MetricsQuery
from trainmon.monitor.store.buckets import thin_at_once
from trainmon.monitor.store.columns import Rows, join_rows, merge_rows, no_rows
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.chunks import Series
from trainmon.monitor.store.durable.codec import encode_rows
from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.pyramid import FAN_OUT, children_of, merge_every, sound_rows
from trainmon.monitor.store.durable.tails import TailRows, read_tail
from trainmon.v1.telemetry_pb2 import MetricSeries

__all__ = ["read_metrics"]

_INFINITY = float("inf")


def read_metrics(
    connection: Connection, session: int, query: MetricsQuery, damage: Damage
) -> list[MetricSeries]:
    """Answer a query with what can be read; by name, then attempt.

    Args:
        connection: In a transaction, which sees one state of everything.
        session: The key of the session.
        query: What is wanted.
        damage: Hears of what cannot be read.

    Raises:
        AnswerTooLargeError: As the query says.
    """
    table = schema.series
    statement = select(table.c.pk, table.c.name, table.c.attempt, table.c.compacted)
    statement = statement.where(table.c.session == session)
    rows = connection.execute(statement.order_by(table.c.name, table.c.attempt)).all()
    names = set(query.names)
    wanted = [row for row in rows if not names or row.name in names]
    tail = read_tail(connection, session, wanted, damage)
    answer: list[MetricSeries] = []
    left_bytes = query.max_bytes
    for row in wanted:
        series = Series(row.pk, row.name, row.attempt)
        found = _SeriesReader(connection, series, tail, query, left_bytes, damage).read()
        left_bytes -= found.message_bytes
        if left_bytes < 0:
            raise AnswerTooLargeError(query.max_bytes)
        if len(found):
            answer.append(MetricSeries.FromString(encode_rows(row.name, row.attempt, found)))
    return answer


class _SeriesReader:
    """Reads one series.

    Args:
        connection: In a transaction.
        series: Which.
        tail: What is not in its chunks.
        query: What is wanted.
        limit_bytes: Greatest answer.
        damage: Hears of what cannot be read.
    """

    def __init__(
        self,
        connection: Connection,
        series: Series,
        tail: TailRows,
        query: MetricsQuery,
        limit_bytes: int,
        damage: Damage,
    ) -> None:
        self._connection = connection
        self._series = series
        self._query = query
        self._limit_bytes = limit_bytes
        self._damage = damage
        first, last = query.first_step, query.last_step
        self._first = -_INFINITY if first is None else float(first)
        self._last = _INFINITY if last is None else float(last)
        self._tail = self._inside(tail.rows((series.name, series.attempt)))

    def read(self) -> Rows:
        """Return the rows, thinned.

        Raises:
            AnswerTooLargeError: There are too many.
        """
        if self._first > self._last:
            return no_rows()
        wanted = self._query.max_points
        level = self._coarsest(wanted) if wanted else 0
        rows = self._at(level)
        while level and len(rows) < wanted:  # the ends of the range had less than it seemed
            level -= 1
            rows = self._at(level)
        return thin_at_once(rows, wanted)

    def _coarsest(self, wanted: int) -> int:
        """Return the highest level that seems to have as many rows as are wanted."""
        table = schema.chunks
        found = self._connection.execute(
            select(table.c.level, table.c.covered, func.sum(table.c.row_count))
            .where(*self._overlapping())
            .group_by(table.c.level, table.c.covered)
        ).all()
        bottom = sum(rows for level, _, rows in found if level == 0) + len(self._tail)
        best = 0
        for level in range(1, max((row.level for row in found), default=0) + 1):
            if bottom / FAN_OUT**level < wanted:
                break
            best = level
        return best

    def _overlapping(self) -> list[Any]:
        table = schema.chunks
        chosen: list[Any] = [table.c.series == self._series.pk]
        if self._first > -_INFINITY:
            chosen.append(table.c.last_step >= self._first)
        if self._last < _INFINITY:
            chosen.append(table.c.first_step <= self._last)
        return chosen

    def _at(self, level: int) -> Rows:
        """Return the rows of the range at a level; where it has none yet, merged from below."""
        parts: list[Rows] = []
        covered_to = -_INFINITY
        budget = self._limit_bytes if not self._query.max_points else None
        for chunk in self._chunks(level):
            covered_to = max(covered_to, chunk.last_step)
            rows = self._load(chunk.level, chunk.number)
            inside = self._cut(rows, chunk.level, chunk.number, 0, chunk.last_step)
            if chunk.level:
                inside = [part for part in map(_known, inside) if len(part)]
            parts.extend(merge_every(part, FAN_OUT ** (level - chunk.level)) for part in inside)
            if budget is not None:
                budget -= sum(part.message_bytes for part in inside)
                if budget < 0:
                    raise AnswerTooLargeError(self._query.max_bytes)
        return self._with_tail(parts, level, covered_to)

    def _load(self, level: int, number: int) -> Rows:
        rows = sound_rows(self._connection, self._series, level, number, self._damage)
        return no_rows() if rows is None else rows

    def _chunks(self, level: int) -> list[Any]:
        """Return which chunks make up the range at a level, in the order of their rows."""
        table = schema.chunks
        at_level = (table.c.level == level) | ((table.c.level < level) & ~table.c.covered)
        found = self._connection.execute(
            select(table.c.level, table.c.number, table.c.last_step).where(
                *self._overlapping(), at_level
            )
        ).all()
        return sorted(found, key=lambda chunk: chunk.number * FAN_OUT**chunk.level)

    def _with_tail(self, parts: list[Rows], level: int, covered_to: float) -> Rows:
        if not len(self._tail):
            return join_rows(parts) if parts else no_rows()
        tail = self._tail
        if len(tail) > 1 and not bool((tail.steps[1:] >= tail.steps[:-1]).all()):
            tail = tail.select(np.argsort(tail.steps, kind="stable"))
        if not parts or float(tail.steps[0]) >= covered_to:
            return join_rows([*parts, merge_every(tail, FAN_OUT**level)])
        late = int(np.searchsorted(tail.steps, covered_to, side="left"))
        among = _among(join_rows(parts), tail.select(slice(0, late)), merge=level > 0)
        if late == len(tail):
            return among
        return join_rows([among, merge_every(tail.select(slice(late, None)), FAN_OUT**level)])

    def _inside(self, rows: Rows | None) -> Rows:
        if rows is None:
            return no_rows()
        chosen = (rows.steps >= self._first) & (rows.steps <= self._last)
        return rows if chosen.all() else rows.select(np.flatnonzero(chosen))

    def _cut(
        self, rows: Rows, level: int, number: int, offset: int, covered_to: float
    ) -> list[Rows]:
        """Return what of some rows of a chunk is in the range, in pieces of this level and below.

        Args:
            rows: Consecutive rows of the chunk.
            level: Of the chunk.
            number: Of the chunk.
            offset: Place of the first of the rows in the chunk.
            covered_to: The last step that the last of the rows may cover.
        """
        low = int(np.searchsorted(rows.steps, self._first, side="left"))
        high = int(np.searchsorted(rows.steps, self._last, side="right"))
        if not level:
            return [rows.select(slice(low, high))] if high > low else []
        begins = low - 1 if low and self._end_of(rows, low - 1, covered_to) >= self._first else None
        ends = None
        if high > low and self._end_of(rows, high - 1, covered_to) > self._last:
            ends = high - 1
        parts: list[Rows] = []
        if begins is not None:
            parts += self._below(rows, level, number, offset, begins, covered_to)
        whole = rows.select(slice(low, high if ends is None else ends))
        if len(whole):
            parts.append(whole)
        if ends is not None:
            parts += self._below(rows, level, number, offset, ends, covered_to)
        return parts

    def _end_of(self, rows: Rows, index: int, covered_to: float) -> float:
        """Return the last step that a row may cover."""
        return float(rows.steps[index + 1]) if index + 1 < len(rows) else covered_to

    def _below(
        self, rows: Rows, level: int, number: int, offset: int, index: int, covered_to: float
    ) -> list[Rows]:
        """Return what of the rows that one row was merged from is in the range."""
        end = self._end_of(rows, index, covered_to)
        child, place = self._child(level, number, offset + index)
        found = self._load(level - 1, child)
        start = place * FAN_OUT
        chosen = found.select(slice(start, start + FAN_OUT))
        return self._cut(chosen, level - 1, child, start, end)

    def _child(self, level: int, number: int, index: int) -> tuple[int, int]:
        """Return which chunk of the level below a row is of, and its place among that one's."""
        for child in children_of(self._connection, self._series, level, number):
            rows = -(-child.row_count // FAN_OUT)
            if index < rows:
                return child.number, index
            index -= rows
        raise ValueError(f"chunk {number} of level {level} has more rows than the level below")


def _among(rows: Rows, late: Rows, *, merge: bool) -> Rows:
    """Return rows with others among them, each in the row that covers its step, or as it is."""
    joined = join_rows([rows, late])
    order = np.argsort(joined.steps, kind="stable")
    joined = joined.select(order)
    if not merge:
        return joined
    starts = np.flatnonzero(order < len(rows))
    return merge_rows(joined, np.union1d(0, starts))


def _known(rows: Rows) -> Rows:
    """Return rows without those that only keep the places of what is damaged."""
    if rows.counts is None or rows.counts.all():
        return rows
    return rows.select(np.flatnonzero(rows.counts))
