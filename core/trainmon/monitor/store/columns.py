"""Rows of one series of scalars, in columns of doubles that grow, and shrink without losing spikes.

Pure NumPy. A row is a step's value, or several steps merged: the least and greatest finite value,
the mean of the finite ones, and how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainmon.v1.telemetry_pb2 import MetricSeries

__all__ = ["Columns", "Rows", "join_rows", "merge_rows", "no_rows"]

Doubles = NDArray[np.float64]

_FIRST_ROWS = 64
#: How many rows become one when a series is collapsed for the first time, and later. Merged rows
#: have twice as many columns, so less than four would free nothing.
_COLLAPSE_FIRST, _COLLAPSE_AGAIN = 4, 2
_MAX_COUNT = 0xFFFFFFFF
#: Of the greatest doubles so many add up to no more than one: as many as a bucket can count.
_PART = 2.0**-64


@dataclass(frozen=True)
class Rows:
    """Rows of one series: arrays of equal length N."""

    steps: Doubles
    times: Doubles
    values: Doubles
    minimums: Doubles | None = None
    maximums: Doubles | None = None
    counts: Doubles | None = None
    """The last three are None where no row is merged."""

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def message_bytes(self) -> int:
        """About how long :meth:`message` is, serialised, at least; in bytes."""
        return len(self) * (3 if self.minimums is None else 5) * 8

    def select(self, chosen: slice | NDArray[np.intp]) -> Rows:
        """Return some of the rows."""
        extra = (None if each is None else each[chosen] for each in self._extremes())
        return Rows(self.steps[chosen], self.times[chosen], self.values[chosen], *extra)

    def _extremes(self) -> tuple[Doubles | None, Doubles | None, Doubles | None]:
        return self.minimums, self.maximums, self.counts

    def with_extremes(self) -> tuple[Doubles, Doubles, Doubles]:
        """Return minimums, maximums and counts, also where no row is merged."""
        if self.minimums is None or self.maximums is None or self.counts is None:
            return self.values, self.values, np.ones(len(self))
        return self.minimums, self.maximums, self.counts

    def message(self, name: str, attempt: int) -> MetricSeries:
        """Return the rows as they go over the wire."""
        series = MetricSeries(
            name=name,
            attempt=attempt,
            steps=self.steps.tolist(),
            times=self.times.tolist(),
            values=self.values.tolist(),
        )
        if self.minimums is not None and self.maximums is not None and self.counts is not None:
            series.minimums.extend(self.minimums.tolist())
            series.maximums.extend(self.maximums.tolist())
            series.counts.extend(np.minimum(self.counts, _MAX_COUNT).astype(np.uint32).tolist())
        return series


def no_rows() -> Rows:
    """Return rows of which there is none."""
    return Rows(np.empty(0), np.empty(0), np.empty(0))


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, at least one, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    plain = (
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
    if all(part.minimums is None for part in parts):
        return Rows(*plain)
    extremes = [part.with_extremes() for part in parts]
    return Rows(*plain, *(np.concatenate([each[index] for each in extremes]) for index in range(3)))


def merge_rows(rows: Rows, starts: NDArray[np.intp]) -> Rows:
    """Merge neighbouring rows.

    Args:
        rows: At least one.
        starts: Index of the first row of each bucket, ascending, from 0; each bucket reaches to
            the next. Shape (B,).

    Returns:
        B rows. A bucket without a finite value has NaN for its value and extremes.
    """
    with np.errstate(all="ignore"):  # sums of huge values overflow: see _means
        return _merge(rows, starts)


def _merge(rows: Rows, starts: NDArray[np.intp]) -> Rows:
    minimums, maximums, counts = rows.with_extremes()
    finite = np.isfinite(rows.values)
    if finite.all() and rows.minimums is None:
        low = np.minimum.reduceat(minimums, starts)
        high = np.maximum.reduceat(maximums, starts)
        weight = rows_in = np.diff(np.append(starts, len(rows))).astype(np.float64)
        mean = _means(rows.values, None, weight, starts)
    else:
        low = np.minimum.reduceat(np.where(np.isfinite(minimums), minimums, np.inf), starts)
        high = np.maximum.reduceat(np.where(np.isfinite(maximums), maximums, -np.inf), starts)
        weights = np.where(finite, counts, 0.0)
        weight = np.add.reduceat(weights, starts)
        mean = _means(np.where(finite, rows.values, 0.0), weights, weight, starts)
        rows_in = np.add.reduceat(counts, starts)
    known = (weight > 0) & np.isfinite(low) & np.isfinite(high)
    return Rows(
        steps=rows.steps[starts],
        times=rows.times[starts],
        # A mean of doubles may be rounded past its neighbours; within the extremes it is true.
        values=np.where(known, np.clip(mean, low, high), np.nan),
        minimums=np.where(known, low, np.nan),
        maximums=np.where(known, high, np.nan),
        counts=rows_in,
    )


def _means(
    values: Doubles, weights: Doubles | None, weight: Doubles, starts: NDArray[np.intp]
) -> Doubles:
    """Return the mean of each bucket; ``weight`` is the sum of its weights, None: all are 1."""
    total = np.add.reduceat(values if weights is None else values * weights, starts)
    whole = np.isfinite(total)
    if whole.all():
        return total / weight
    # The sum of what is as large as a double can be is beyond any: that of a part of each is not.
    parts = values * _PART if weights is None else values * _PART * weights
    return np.where(whole, total / weight, np.add.reduceat(parts, starts) / weight / _PART)


class Columns:
    """All rows of one series and attempt, in the order they came."""

    def __init__(self) -> None:
        self._data = np.empty((3, _FIRST_ROWS))
        self._rows = 0
        self.ordered = True
        """Whether steps never went back."""

    def __len__(self) -> int:
        return self._rows

    @property
    def merged(self) -> bool:
        """Whether any row is merged."""
        return len(self._data) > 3

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self._data.nbytes

    def append(self, series: MetricSeries) -> None:
        """Add rows; their arrays are equally long."""
        count = len(series.steps)
        if not count:
            return
        if series.counts and not self.merged:
            self._widen()
        start, end = self._rows, self._rows + count
        if end > self._data.shape[1]:
            self._grow(end)
        self._data[0, start:end] = series.steps
        self._data[1, start:end] = series.times
        self._data[2, start:end] = series.values
        if self.merged:
            self._data[3, start:end] = series.minimums or series.values
            self._data[4, start:end] = series.maximums or series.values
            self._data[5, start:end] = series.counts or 1
        self._rows = end
        if self.ordered:
            steps = self._data[0, max(start - 1, 0) : end]
            self.ordered = bool((steps[1:] >= steps[:-1]).all()) if len(steps) > 1 else True

    def rows(self) -> Rows:
        """Return all rows, as views that later appends do not change."""
        data = self._data[:, : self._rows]
        return Rows(*data)

    def collapse(self) -> bool:
        """Merge neighbouring rows to free memory; return whether there was anything to merge."""
        factor = _COLLAPSE_AGAIN if self.merged else _COLLAPSE_FIRST
        if self._rows < _FIRST_ROWS * factor:
            return False
        merged = merge_rows(self.rows(), np.arange(0, self._rows, factor))
        extremes = merged.with_extremes()
        # Room for as many again, so that the next row does not double what was just halved.
        fresh = np.empty((6, len(merged) + _FIRST_ROWS))
        fresh[:, : len(merged)] = (merged.steps, merged.times, merged.values, *extremes)
        self._data, self._rows = fresh, len(merged)
        return True

    def _widen(self) -> None:
        fresh = np.empty((6, self._data.shape[1]))
        fresh[:3] = self._data
        fresh[3:5] = self._data[2]
        fresh[5] = 1
        self._data = fresh

    def _grow(self, rows: int) -> None:
        fresh = np.empty((len(self._data), max(rows, self._data.shape[1] * 3 // 2)))
        fresh[:, : self._rows] = self._data[:, : self._rows]
        self._data = fresh
