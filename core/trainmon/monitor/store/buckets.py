"""Thins series for a chart: few rows, and not one spike hidden."""

from __future__ import annotations

import asyncio

import numpy as np

from trainmon.monitor.store.base import MetricsQuery
from trainmon.monitor.store.columns import Columns, Rows, merge_rows

__all__ = ["select_steps", "thin"]

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
    if not max_points or len(rows) <= max_points:
        return rows
    starts = np.linspace(0, len(rows), max_points, endpoint=False).astype(np.intp)
    parts = []
    begin = 0
    while begin < len(starts):
        limit = int(starts[begin]) + _STRETCH_ROWS
        end = max(begin + 1, int(np.searchsorted(starts, limit, side="left")))
        stop = int(starts[end]) if end < len(starts) else len(rows)
        stretch = rows.select(slice(int(starts[begin]), stop))
        parts.append(merge_rows(stretch, starts[begin:end] - starts[begin]))
        begin = end
        if begin < len(starts):
            await asyncio.sleep(0)
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Rows]) -> Rows:
    extremes = [part.with_extremes() for part in parts]
    return Rows(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        *(np.concatenate([each[index] for each in extremes]) for index in range(3)),
    )
