"""Builds the levels above: each row of a level is sixteen of the level below, extremes exact.

Chunk ``n`` of a level covers chunks ``16 n`` to ``16 n + 15`` of the level below, in order. It is
begun with the first few of them and written anew as more are there; only a whole one is covered by
the next level. So little is written twice, and few chunks at any level are covered by none.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, update

from trainmon.monitor.store.columns import Rows, join_rows, merge_rows, no_rows
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.chunks import (
    Series,
    drop_chunk,
    load_rows,
    put_chunk,
    this_chunk,
)
from trainmon.monitor.store.durable.damage import Damage

__all__ = ["FAN_OUT", "build_above", "children_of", "merge_every", "sound_rows", "uncover"]

#: Rows that become one, and chunks under one chunk.
FAN_OUT = 16
#: So many new chunks are taken into the level above together.
_TOGETHER = 4


def merge_every(rows: Rows, count: int) -> Rows:
    """Merge each so many rows into one, the last may be of fewer."""
    if count <= 1 or not len(rows):
        return rows
    return merge_rows(rows, np.arange(0, len(rows), count))


def sound_rows(
    connection: Connection, series: Series, level: int, number: int, damage: Damage
) -> Rows | None:
    """Return the rows of a chunk; a damaged one is made anew of the chunks below it.

    In what is made anew, as in what was built on a damaged chunk, rows with a count of 0 keep the
    places of what is lost: rows above stand for rows below by their places.

    Args:
        connection: In a transaction.
        series: Whose.
        level: Of the chunk.
        number: Of the chunk.
        damage: Hears of each damaged one.

    Returns:
        None for a damaged one of level 0, which nothing can be made of.
    """
    try:
        return load_rows(connection, series, level, number)
    except (TypeError, ValueError) as error:
        what = f"chunk {number} of level {level} of series {series.name[:64]!r} (row {series.pk})"
        damage.row(what, error)
    if not level:
        return None
    below = children_of(connection, series, level, number)
    covered = [chunk for chunk in below if chunk.covered]
    merged = [_merged(connection, series, level - 1, each, damage) for each in covered]
    return join_rows(merged) if merged else no_rows()


def children_of(connection: Connection, series: Series, level: int, number: int) -> list[Any]:
    """Return the chunks that one chunk covers or may come to cover, without their rows."""
    table = schema.chunks
    first = number * FAN_OUT
    found = connection.execute(
        select(table.c.number, table.c.first_step, table.c.row_count, table.c.covered)
        .where(
            table.c.series == series.pk,
            table.c.level == level - 1,
            table.c.number >= first,
            table.c.number < first + FAN_OUT,
        )
        .order_by(table.c.number)
    )
    return list(found)


def _merged(connection: Connection, series: Series, level: int, chunk: Any, damage: Damage) -> Rows:
    """Return the rows of the level above that stand for a chunk."""
    rows = sound_rows(connection, series, level, chunk.number, damage)
    if rows is not None:
        return merge_every(rows, FAN_OUT)
    count = -(-chunk.row_count // FAN_OUT)
    unknown, none = np.full(count, np.nan), np.zeros(count)
    return Rows(np.full(count, chunk.first_step), none, unknown, unknown, unknown, none)


def build_above(connection: Connection, series: Series, open_rows: int, damage: Damage) -> None:
    """Take into each level what is new and whole in the level below.

    Args:
        connection: In a transaction.
        series: Whose.
        open_rows: The newest chunk of level 0 is not whole while it has fewer rows.
        damage: Hears of each damaged chunk.
    """
    level = 0
    while True:
        whole = _whole_and_uncovered(connection, series, level, open_rows)
        built = False
        for parent, group in groupby(whole, key=lambda number: number // FAN_OUT):
            numbers = list(group)
            if len(numbers) >= _TOGETHER or numbers[-1] % FAN_OUT == FAN_OUT - 1:
                _extend(connection, series, level + 1, parent, numbers, damage)
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
    connection: Connection,
    series: Series,
    level: int,
    parent: int,
    numbers: list[int],
    damage: Damage,
) -> None:
    """Add chunks of the level below to a chunk, which follow those it covers."""
    table = schema.chunks
    chosen = this_chunk(series, level, parent)
    before = connection.scalar(select(table.c.children).where(chosen))
    parts = []
    if before is not None:
        rows = sound_rows(connection, series, level, parent, damage)
        parts += [] if rows is None else [rows]
        drop_chunk(connection, series, level, parent)
    for chunk in children_of(connection, series, level, parent):
        if chunk.number in numbers:
            parts.append(_merged(connection, series, level - 1, chunk, damage))
    newest = this_chunk(series, level - 1, numbers[-1])
    last_step = connection.scalar(select(table.c.last_step).where(newest))
    children = int(before or 0) + len(numbers)
    joined = join_rows(parts)
    put_chunk(connection, series, level, parent, joined, last_step=last_step, children=children)
    for number in numbers:
        below = this_chunk(series, level - 1, number)
        connection.execute(update(table).where(below).values(covered=True))
