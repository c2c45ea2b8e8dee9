"""Builds the levels above: each row of a level is sixteen of the level below, extremes exact.

Chunk ``n`` of a level covers chunks ``16 n`` to ``16 n + 15`` of the level below, in order. It is
begun with the first few of them and written anew as more are there; only a whole one is covered by
the next level. So little is written twice, and few chunks at any level are covered by none.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from sqlalchemy import Connection, select, update

from trainmon.monitor.store.columns import Rows, join_rows, merge_rows
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.chunks import (
    Series,
    drop_chunk,
    load_rows,
    put_chunk,
    this_chunk,
)

__all__ = ["FAN_OUT", "build_above", "merge_every", "uncover"]

#: Rows that become one, and chunks under one chunk.
FAN_OUT = 16
#: So many new chunks are taken into the level above together.
_TOGETHER = 4


def merge_every(rows: Rows, count: int) -> Rows:
    """Merge each so many rows into one, the last may be of fewer."""
    if count <= 1 or not len(rows):
        return rows
    return merge_rows(rows, np.arange(0, len(rows), count))


def build_above(connection: Connection, series: Series, open_rows: int) -> None:
    """Take into each level what is new and whole in the level below.

    Args:
        connection: In a transaction.
        series: Whose.
        open_rows: The newest chunk of level 0 is not whole while it has fewer rows.
    """
    level = 0
    while True:
        whole = _whole_and_uncovered(connection, series, level, open_rows)
        built = False
        for parent, group in groupby(whole, key=lambda number: number // FAN_OUT):
            numbers = list(group)
            if len(numbers) >= _TOGETHER or numbers[-1] % FAN_OUT == FAN_OUT - 1:
                _extend(connection, series, level + 1, parent, numbers)
                built = True
        if not built:
            return
        level += 1


def uncover(connection: Connection, series: Series, number: int) -> None:
    """Drop whatever is built above a chunk of level 0, which is to change."""
    table = schema.chunks
    level = 0
    covered = _is_covered(connection, series, level, number)
    while covered:
        level, number = level + 1, number // FAN_OUT
        covered = _is_covered(connection, series, level, number)
        below = (
            (table.c.series == series.pk)
            & (table.c.level == level - 1)
            & (table.c.number >= number * FAN_OUT)
            & (table.c.number < (number + 1) * FAN_OUT)
        )
        connection.execute(update(table).where(below).values(covered=False))
        drop_chunk(connection, series, level, number)


def _is_covered(connection: Connection, series: Series, level: int, number: int) -> bool:
    chosen = select(schema.chunks.c.covered).where(this_chunk(series, level, number))
    return bool(connection.scalar(chosen))


def _whole_and_uncovered(
    connection: Connection, series: Series, level: int, open_rows: int
) -> list[int]:
    table = schema.chunks
    found = connection.execute(
        select(table.c.number, table.c.row_count, table.c.children)
        .where(table.c.series == series.pk, table.c.level == level, ~table.c.covered)
        .order_by(table.c.number)
    ).all()
    if level:
        return [row.number for row in found if row.children == FAN_OUT]
    if found and found[-1].row_count < open_rows:
        found = found[:-1]  # only the newest is ever so short
    return [row.number for row in found]


def _extend(
    connection: Connection, series: Series, level: int, parent: int, numbers: list[int]
) -> None:
    """Add chunks of the level below to a chunk, which follow those it covers."""
    table = schema.chunks
    chosen = this_chunk(series, level, parent)
    before = connection.scalar(select(table.c.children).where(chosen))
    parts = []
    if before is not None:
        parts.append(load_rows(connection, series, level, parent))
        drop_chunk(connection, series, level, parent)
    for number in numbers:
        rows = load_rows(connection, series, level - 1, number)
        parts.append(merge_every(rows, FAN_OUT))
    newest = this_chunk(series, level - 1, numbers[-1])
    last_step = connection.scalar(select(table.c.last_step).where(newest))
    children = int(before or 0) + len(numbers)
    rows = join_rows(parts)
    put_chunk(connection, series, level, parent, rows, last_step=last_step, children=children)
    for number in numbers:
        below = this_chunk(series, level - 1, number)
        connection.execute(update(table).where(below).values(covered=True))
