"""Thins series for a chart: few rows, and not one spike hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np

from trainmon.monitor.store.base import MetricsQuery
from trainmon.monitor.store.columns import Columns, Rows, join_rows, merge_rows

__all__ = ["select_steps", "thin", "thin_at_once"]

#: Rows merged at a stretch; between two stretches others get their turn. About 10 ms.
_STRETCH_ROWS = 1 << 20


def select_steps(columns: Columns, query: MetricsQuery) -> Rows:
    """Return the rows of a range of steps, ascending."""
    rows = columns.rows()
    if not columns.ordered:
        rows = rows.select(np.argsort(rows.steps, kind="stable"))
    first, last = 0, len(rows)
    if query.first_step is not None:
        first = int(np.searchsorted(rows.steps, float(query.first_step), side="left"))
    if query.last_step is not None:
        last = int(np.searchsorted(rows.steps, float(query.last_step), side="right"))
    return rows.select(slice(first, max(first, last)))


async def thin(rows: Rows, max_points: int) -> Rows:
    """Return at most ``max_points`` rows (0: all) of equally many rows each, extremes exact."""
    parts = []
    for part in _stretches(rows, max_points):
        parts.append(part)
        await asyncio.sleep(0)
    return join_rows(parts)


def thin_at_once(rows: Rows, max_points: int) -> Rows:
    """Do the same where nobody waits for a turn: in a thread of its own."""
    return join_rows(list(_stretches(rows, max_points)))


def _stretches(rows: Rows, max_points: int) -> Iterator[Rows]:
    if not max_points or len(rows) <= max_points:
        yield rows
        return
    starts = np.linspace(0, len(rows), max_points, endpoint=False).astype(np.intp)
    begin = 0
    while begin < len(starts):
        limit = int(starts[begin]) + _STRETCH_ROWS
        end = max(begin + 1, int(np.searchsorted(starts, limit, side="left")))
        stop = int(starts[end]) if end < len(starts) else len(rows)
        stretch = rows.select(slice(int(starts[begin]), stop))
        yield merge_rows(stretch, starts[begin:end] - starts[begin])
        begin = end
