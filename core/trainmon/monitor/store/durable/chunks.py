"""Chunks: rows of one series and level, as one serialised and packed MetricSeries each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, delete, insert, select

from trainmon.monitor.store.columns import Rows
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.codec import decode_rows, encode_rows, pack, unpack

__all__ = ["Series", "drop_chunk", "load_rows", "put_chunk", "this_chunk", "unpack_rows"]


@dataclass(frozen=True)
class Series:
    """One series of one attempt."""

    pk: int
    """Its key in the table of series."""
    name: str
    attempt: int


def this_chunk(series: Series, level: int, number: int) -> ColumnElement[bool]:
    """Return the condition that chooses one chunk."""
    table = schema.chunks
    return (table.c.series == series.pk) & (table.c.level == level) & (table.c.number == number)


def load_rows(connection: Connection, series: Series, level: int, number: int) -> Rows:
    """Return the rows of a chunk.

    Raises:
        ValueError: It is damaged, or there is none.
    """
    table = schema.chunks
    chosen = select(table.c.message, table.c.row_count).where(this_chunk(series, level, number))
    found = connection.execute(chosen).first()
    if found is None:
        raise ValueError(f"series {series.name!r} has no chunk {number} of level {level}")
    rows = unpack_rows(found.message)
    if len(rows) != found.row_count:
        raise ValueError(f"it has {len(rows)} rows, but should have {found.row_count}")
    return rows


def unpack_rows(message: bytes) -> Rows:
    """Return the rows of a chunk's message.

    Raises:
        ValueError: It is damaged.
    """
    return decode_rows(unpack(message))


def drop_chunk(connection: Connection, series: Series, level: int, number: int) -> None:
    """Delete a chunk."""
    connection.execute(delete(schema.chunks).where(this_chunk(series, level, number)))


def put_chunk(
    connection: Connection,
    series: Series,
    level: int,
    number: int,
    rows: Rows,
    *,
    last_step: float | None = None,
    children: int = 0,
) -> None:
    """Write a chunk that is not there.

    Args:
        connection: In a transaction.
        series: Whose.
        level: 0 for rows as they came.
        number: Its place, from 0.
        rows: Ascending by step.
        last_step: The last step that its last row covers; None: that row's own.
        children: How many chunks of the level below it covers.
    """
    connection.execute(
        insert(schema.chunks).values(
            series=series.pk,
            level=level,
            number=number,
            covered=False,
            children=children,
            first_step=float(rows.steps[0]),
            last_step=float(rows.steps[-1]) if last_step is None else last_step,
            row_count=len(rows),
            message=pack(encode_rows(series.name, series.attempt, rows)),
            **_extent(rows),
        )
    )


def _extent(rows: Rows) -> dict[str, Any]:
    """Return what a chunk says of its values: count, extremes and sum of the finite ones."""
    minimums, maximums, counts = rows.with_extremes()
    known = np.isfinite(rows.values)
    low, high = minimums[np.isfinite(minimums)], maximums[np.isfinite(maximums)]
    with np.errstate(over="ignore", invalid="ignore"):
        total = float((rows.values[known] * counts[known]).sum())
    return {
        "count": float(counts.sum()),
        "minimum": float(low.min()) if len(low) else None,
        "maximum": float(high.max()) if len(high) else None,
        "total": total,
    }
