"""Thinning scalars: neighbouring rows of a series become one, with exact extremes and means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from trainmon.v1.telemetry_pb2 import MetricData, MetricSeries

__all__ = ["halve", "join", "rows_in"]

Array = npt.NDArray[Any]

_MAX_COUNT = (1 << 32) - 1


def rows_in(data: MetricData) -> int:
    """Return the rows of all series together."""
    return sum(len(series.steps) for series in data.series)


def join(messages: Iterable[MetricData]) -> MetricData:
    """Return messages as one, oldest first, rows unchanged."""
    joined = MetricData()
    by_name: dict[tuple[str, int], MetricSeries] = {}
    for data in messages:
        joined.timestamp_ms = max(joined.timestamp_ms, data.timestamp_ms)
        for series in data.series:
            target = by_name.get((series.name, series.attempt))
            if target is None:
                target = joined.series.add()
                target.name, target.attempt = series.name, series.attempt
                by_name[series.name, series.attempt] = target
            _append(target, series)
    return joined


def _append(target: MetricSeries, source: MetricSeries) -> None:
    merged = bool(source.counts or target.counts)
    if merged and not target.counts:
        _fill(target)
    target.steps.extend(source.steps)
    target.times.extend(source.times)
    target.values.extend(source.values)
    if merged:
        single = [1] * len(source.steps)
        target.minimums.extend(source.minimums or source.values)
        target.maximums.extend(source.maximums or source.values)
        target.counts.extend(source.counts or single)


def _fill(series: MetricSeries) -> None:
    """Give rows that stand for themselves the columns of merged rows."""
    series.minimums.extend(series.values)
    series.maximums.extend(series.values)
    series.counts.extend([1] * len(series.steps))


def halve(data: MetricData) -> MetricData:
    """Merge every two neighbouring rows of each series into one.

    A merged row has the first step and time of the two, their least and greatest value, the mean
    of all values merged so far and their number. A row that is not finite merges only with one
    that is not either, so that means stay exact and no NaN disappears: finite and other rows are
    merged each among themselves.
    """
    halved = MetricData(timestamp_ms=data.timestamp_ms)
    for series in data.series:
        if series.steps:
            halved.series.append(_halve(series))
    return halved


def _halve(series: MetricSeries) -> MetricSeries:
    columns = _columns(series)
    finite = np.isfinite(columns["values"])
    parts = [_merge_pairs(_pick(columns, mask)) for mask in (finite, ~finite) if mask.any()]
    merged = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    # In the order of the series: by step, and of equal ones the finite first.
    merged = _pick(merged, np.argsort(merged["steps"], kind="stable"))
    return MetricSeries(name=series.name, attempt=series.attempt, **merged)


def _columns(series: MetricSeries) -> dict[str, Array]:
    values = np.array(series.values, np.float64)
    return {
        "steps": np.array(series.steps, np.float64),
        "times": np.array(series.times, np.float64),
        "values": values,
        "minimums": np.array(series.minimums, np.float64) if series.minimums else values,
        "maximums": np.array(series.maximums, np.float64) if series.maximums else values,
        "counts": np.array(series.counts or np.ones(len(values)), np.int64),
    }


def _pick(columns: dict[str, Array], which: Array) -> dict[str, Array]:
    return {name: column[which] for name, column in columns.items()}


def _merge_pairs(columns: dict[str, Array]) -> dict[str, Array]:
    rows = len(columns["values"])
    paired = rows // 2 * 2
    first, second = slice(0, paired, 2), slice(1, paired, 2)
    counts = columns["counts"]
    merged = {name: columns[name][first] for name in ("steps", "times")}
    merged["counts"] = np.minimum(counts[first] + counts[second], _MAX_COUNT)
    merged["minimums"] = np.fmin(columns["minimums"][first], columns["minimums"][second])
    merged["maximums"] = np.fmax(columns["maximums"][first], columns["maximums"][second])
    merged["values"] = _weighted_means(columns["values"], counts, first, second)
    # The mean cannot lie outside, whatever was rounded.
    merged["values"] = np.clip(merged["values"], merged["minimums"], merged["maximums"])
    if paired == rows:
        return merged
    return {name: np.append(column, columns[name][-1]) for name, column in merged.items()}


def _weighted_means(values: Array, counts: Array, first: slice, second: slice) -> Array:
    total = counts[first] + counts[second]
    with np.errstate(invalid="ignore"):  # of infinities with unlike signs it is NaN
        # Each weighted before the sum: the sum of two great numbers would overflow.
        means: Array = values[first] * (counts[first] / total) + values[second] * (
            counts[second] / total
        )
    return means
