"""Thinning scalars keeps extremes, means and numbers exact."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.relay.merging import halve, join, rows_in
from trainmon.v1.telemetry_pb2 import MetricData, MetricSeries

values = st.floats(width=64, min_value=-1e300, max_value=1e300) | st.sampled_from(
    [math.nan, math.inf, -math.inf]
)


def data(column: list[float], name: str = "loss", attempt: int = 0) -> MetricData:
    """Return one series of values at the steps from 0."""
    steps = [float(index) for index in range(len(column))]
    series = MetricSeries(name=name, attempt=attempt, steps=steps, times=steps, values=column)
    return MetricData(series=[series])


def finite(column: list[float]) -> list[float]:
    """Return the finite values."""
    return [value for value in column if math.isfinite(value)]


@given(st.lists(values, min_size=1, max_size=60), st.integers(1, 6))
def test_merging_any_number_of_times_is_exact(column, times):
    """Least, greatest, number and mean of the finite values survive; no NaN disappears."""
    merged = data(column)
    for _ in range(times):
        merged = halve(merged)
    series = merged.series[0]
    assert sum(series.counts) == len(column)
    kept = [index for index, value in enumerate(series.values) if math.isfinite(value)]
    expected = finite(column)
    assert sum(series.counts[index] for index in kept) == len(expected)
    if expected:
        assert min(series.minimums[index] for index in kept) == min(expected)
        assert max(series.maximums[index] for index in kept) == max(expected)
        mean = math.fsum(series.values[i] * (series.counts[i] / len(expected)) for i in kept)
        true = math.fsum(value / len(expected) for value in expected)
        scale = max(map(abs, expected))
        # The least numbers a double holds have no halves.
        assert mean == pytest.approx(true, rel=1e-9, abs=1e-12 * scale + 1e-300)
    assert list(series.steps) == sorted(series.steps)
    assert len(series.values) < len(column) or len(column) <= 2


@given(st.lists(values, min_size=1, max_size=20), st.lists(values, max_size=20), st.booleans())
def test_joined_messages_hold_every_row_in_order(first, second, merged):
    """Rows of one series come after each other, whether some were merged before or not."""
    older = halve(data(first)) if merged else data(first)
    joined = join((older, data(second)))
    assert rows_in(joined) == rows_in(older) + len(second)
    series = joined.series[0]
    columns = [series.minimums, series.maximums, series.counts]
    assert {len(column) for column in columns} <= {0, len(series.steps)}
    if merged:
        assert sum(series.counts) == len(first) + len(second)
    expected = [*older.series[0].values, *second]
    assert [str(value) for value in series.values] == [str(value) for value in expected]


def test_series_of_other_names_and_attempts_stay_apart():
    """A loss of a later attempt is no loss of the earlier, and an accuracy is none at all."""
    joined = join((data([1.0]), data([2.0], attempt=1), data([3.0], "accuracy"), data([4.0])))
    found = {(each.name, each.attempt): list(each.values) for each in joined.series}
    assert found == {("loss", 0): [1, 4], ("loss", 1): [2], ("accuracy", 0): [3]}


def test_a_merged_row_has_the_first_step_and_time():
    """Four rows become two, at the steps of the first and the third."""
    series = halve(data([4.0, 2.0, 1.0, 3.0])).series[0]
    assert list(series.steps) == [0, 2]
    assert list(series.times) == [0, 2]
    assert list(series.values) == [3, 2]
    assert list(series.minimums) == [2, 1]
    assert list(series.maximums) == [4, 3]
    assert list(series.counts) == [2, 2]
