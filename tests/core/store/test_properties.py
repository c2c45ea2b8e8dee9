"""Chunks, compaction and levels against a plain list, whatever comes in which order."""

from __future__ import annotations

import asyncio
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trainmon.monitor.store.base import MetricsQuery, Record
from trainmon.monitor.store.columns import Rows, merge_rows
from trainmon.monitor.store.durable import compaction, ledger
from trainmon.monitor.store.durable.codec import decode_rows, encode_rows, pack, unpack
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.telemetry_pb2 import MetricSeries

doubles = st.floats(allow_nan=True, allow_infinity=True, width=64)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
counts = st.integers(0, 0xFFFFFFFF)


@given(
    rows=st.lists(st.tuples(*[doubles] * 5, counts), max_size=50),
    merged=st.booleans(),
    name=st.text(max_size=20),
    attempt=st.integers(0, 0xFFFFFFFF),
)
def test_rows_are_written_as_protobuf_writes_them(rows, merged, name, attempt):
    """What the codec writes protobuf reads, value by value, and the other way round."""
    columns = [np.array([row[index] for row in rows], dtype=float) for index in range(6)]
    given_rows = Rows(*columns) if merged else Rows(*columns[:3])
    data = encode_rows(name, attempt, given_rows)
    read = MetricSeries.FromString(data)
    assert (read.name, read.attempt) == (name, attempt)
    fields = ("steps", "times", "values", "minimums", "maximums", "counts")
    for field, column in zip(fields, columns[: 6 if merged else 3], strict=False):
        np.testing.assert_array_equal(list(getattr(read, field)), column)
    again = decode_rows(unpack(pack(read.SerializeToString())))
    for field, column in zip(fields, columns[: 6 if merged and rows else 3], strict=False):
        np.testing.assert_array_equal(getattr(again, field), column)


HUGE = 1.7976931348623157e308


@pytest.mark.parametrize("merged", [False, True])
def test_the_mean_of_what_is_as_large_as_a_double_can_be_is_one(merged):
    """Also of both signs, where the sums of either are beyond any double."""
    values = np.array([HUGE, HUGE, -HUGE, -HUGE, HUGE, HUGE, HUGE / 2, 1.0, 3.0])
    steps, counts = np.arange(9.0), np.ones(9)
    rows = (
        Rows(steps, steps, values, values, values, counts) if merged else Rows(steps, steps, values)
    )
    found = merge_rows(rows, np.array([0, 4, 7]))
    np.testing.assert_allclose(found.values, [0.0, HUGE / 6 * 5, 2.0])


@given(st.binary(max_size=200))
def test_damaged_rows_are_noticed(data):
    """Bytes that are no rows give a ValueError or some rows, and never another end."""
    try:
        decode_rows(data)
        unpack(data)
    except ValueError:
        pass


@dataclass
class Point:
    """One row of the plain list."""

    step: float
    value: float
    minimum: float
    maximum: float
    count: int

    @classmethod
    def plain(cls, step: float, value: float) -> Point:
        """Make one of a single value."""
        return cls(step, value, value, value, 1)


class HistoryMachine(RuleBasedStateMachine):
    """A store with tiny chunks beside a plain list; it may be opened again at any time."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(compaction, "CHUNK_ROWS", 8)
        self.patch.setattr(compaction, "_OPEN_ROWS", 4)
        self.patch.setattr(ledger, "COMPACT_ROWS", 16)
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.model: dict[tuple[str, int], list[Point]] = {}
        self.sequence = 0
        self.store = None

    @initialize()
    def open(self):
        """Open the store."""
        self.store = SqlStore(Path(self.folder.name) / "h", 1 << 20, 1 << 20)

    def run(self, coroutine):
        """Return what a coroutine returns."""
        return self.loop.run_until_complete(coroutine)

    @rule(
        name=st.sampled_from(["loss", "rare"]),
        attempt=st.integers(0, 1),
        first=st.integers(0, 200),
        behind=st.booleans(),
        values=st.lists(doubles, min_size=1, max_size=60),
        shuffled=st.booleans(),
        repeats=st.integers(1, 3),
    )
    def append(self, name, attempt, first, behind, values, shuffled, repeats):
        """Keep rows: in order, behind what is there, doubled or shuffled."""
        known = self.model.setdefault((name, attempt), [])
        start = first if behind or not known else max(point.step for point in known)
        steps = [float(start + index // repeats) for index in range(len(values))]
        if shuffled:
            steps = steps[::2] + steps[1::2]
        series = MetricSeries(name=name, attempt=attempt, steps=steps, times=steps, values=values)
        self.sequence += 1
        record = Record("p", self.sequence, series=[series])
        for _ in range(2):  # a second time it changes nothing
            self.run(self.store.append("s", record))
        known.extend(map(Point.plain, steps, values))

    @rule(
        attempt=st.integers(0, 1),
        first=st.integers(0, 200),
        ranges=st.lists(
            st.tuples(numbers, numbers, st.integers(1, 0xFFFF), st.booleans()), max_size=40
        ),
        plain=st.lists(doubles, max_size=5),
    )
    def append_merged(self, attempt, first, ranges, plain):
        """Keep rows that a relay merged, and single ones among them, in order or late."""
        points = []
        for one, other, count, unknown in ranges:
            low, high = (math.nan, math.nan) if unknown else sorted((one, other))
            middle = math.nan if unknown else min(max(low / 2 + high / 2, low), high)
            points.append(Point(0, middle, low, high, count))
        points += [Point.plain(0, value) for value in plain]
        if not points:
            return
        for index, point in enumerate(points):
            point.step = float(first + 2 * index)
        series = MetricSeries(
            name="loss",
            attempt=attempt,
            steps=[each.step for each in points],
            times=[each.step for each in points],
            values=[each.value for each in points],
            minimums=[each.minimum for each in points],
            maximums=[each.maximum for each in points],
            counts=[each.count for each in points],
        )
        self.sequence += 1
        self.run(self.store.append("s", Record("p", self.sequence, series=[series])))
        self.model.setdefault(("loss", attempt), []).extend(points)

    @rule()
    def reopen(self):
        """Close the store, in the middle of what it does in the background, and open it again."""
        self.run(self.store.close())
        self.open()

    @rule()
    def settle(self):
        """Let the background come to its end."""
        self.run(self.store.settle())

    @rule(
        bounds=st.tuples(*[st.one_of(st.none(), st.integers(0, 260))] * 2),
        max_points=st.sampled_from([0, 1, 2, 5, 17, 50]),
    )
    def ask(self, bounds, max_points):
        """Whatever is asked, the answer is that of the plain list."""
        query = MetricsQuery((), *bounds, max_points)
        answer = self.run(self.store.metrics("s", query))
        found = {(series.name, series.attempt): series for series in answer}
        first, last = (-math.inf if bounds[0] is None else bounds[0]), bounds[1]
        last = math.inf if last is None else last
        for key, points in self.model.items():
            inside = [point for point in points if first <= point.step <= last]
            inside.sort(key=lambda point: point.step)
            check(found.pop(key, None), inside, max_points)
        assert not found

    @invariant()
    def numbers(self):
        """The highest number is known at all times."""
        if self.store is not None and self.sequence:
            assert self.run(self.store.stored_sequence("s", "p")) == self.sequence

    def teardown(self):
        """Close everything."""
        if self.store is not None:
            self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()
        self.patch.undo()


def check(series, points, max_points):
    """Compare one series of an answer with the points it should tell of."""
    if not points:
        assert series is None
        return
    if not max_points or len(points) <= max_points:
        np.testing.assert_array_equal(list(series.steps), [point.step for point in points])
        np.testing.assert_array_equal(list(series.values), [point.value for point in points])
        if series.counts or any(point.count > 1 for point in points):
            assert list(series.counts) == [point.count for point in points]
            for name in ("minimum", "maximum"):
                told = [getattr(point, name) for point in points]
                np.testing.assert_array_equal(list(getattr(series, f"{name}s")), told)
        return
    assert len(series.steps) == max_points
    left = iter(points)
    for row in zip(*(getattr(series, name) for name in COLUMNS), strict=True):
        check_bucket(*row, left)
    assert next(left, None) is None


COLUMNS = ("steps", "times", "values", "minimums", "maximums", "counts")


def check_bucket(step, time, value, minimum, maximum, count, left):
    """Compare one row with the next points, as many as it says that it stands for."""
    bucket = []
    while sum(point.count for point in bucket) < count:
        bucket.append(next(left))
    assert sum(point.count for point in bucket) == count
    assert step == time == bucket[0].step
    lows = [point.minimum for point in bucket if math.isfinite(point.minimum)]
    highs = [point.maximum for point in bucket if math.isfinite(point.maximum)]
    if not lows:
        assert math.isnan(value)
        assert math.isnan(minimum)
        assert math.isnan(maximum)
        return
    assert (minimum, maximum) == (min(lows), max(highs))
    assert minimum <= value <= maximum


HistoryMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


class TestHistory(HistoryMachine.TestCase):
    """The store is the plain list, in less room."""


async def test_sums_of_levels_are_near(open_history, rows_of, small_chunks):
    """A mean that went through several levels is that of the values, but for rounding."""
    store = open_history()
    random = np.random.default_rng(1)
    values = random.normal(5, 2, 4096)
    for start in range(0, 4096, 64):
        part = rows_of(values[start : start + 64].tolist(), start)
        await store.append("s", Record("p", start // 64 + 1, series=[part]))
    await store.settle()
    (one,) = await store.metrics("s", MetricsQuery(max_points=1))
    assert one.counts[0] == 4096
    assert one.values[0] == pytest.approx(values.mean(), rel=1e-12)


async def test_late_rows_are_in_the_buckets_of_their_steps(open_history, rows_of, small_chunks):
    """A spike that came late and is not yet compacted is shown where it was, at every zoom."""
    store = open_history()
    points = [Point.plain(float(step), 1.0) for step in range(8, 1024)]
    for start in range(8, 1024, 127):
        part = rows_of([1.0] * 127, start)
        await store.append("s", Record("p", start, series=[part]))
    await store.settle()
    late = [Point.plain(float(step), 100.0 + step) for step in (3, 40, 300, 301, 700, 1023, 1500)]
    for number, point in enumerate(late):
        part = rows_of([point.value], int(point.step))
        await store.append("s", Record("q", number + 1, series=[part]))
    points = sorted([*points, *late], key=lambda point: point.step)
    for max_points in range(1, 130):
        (found,) = await store.metrics("s", MetricsQuery(max_points=max_points))
        check(found, points, max_points)
