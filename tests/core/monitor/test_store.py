"""History in memory: exact extremes, bounded bytes. What every store does: ``tests/core/store``."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.monitor.sequences import Sequences
from trainmon.monitor.store.base import MetricsQuery, Record
from trainmon.monitor.store.buckets import thin
from trainmon.monitor.store.columns import Columns
from trainmon.monitor.store.key_frames import KeyFrames
from trainmon.monitor.store.memory import MemoryStore
from trainmon.v1.telemetry_pb2 import BatchData, ImageData, MetricSeries

values_of_a_run = st.lists(
    st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=300
)


def rows_of(values, first=0):
    """Return a series of consecutive steps."""
    steps = [float(first + index) for index in range(len(values))]
    return MetricSeries(name="loss", steps=steps, times=steps, values=values)


def finite(values):
    """Return the finite ones."""
    return [value for value in values if math.isfinite(value)]


@pytest.fixture
def store():
    """Return a store with room for a megabyte a session."""
    return MemoryStore(1 << 20)


@given(values=values_of_a_run, max_points=st.integers(1, 50))
async def test_buckets_are_exact(values, max_points):
    """Each bucket has the extremes of its rows, their count, and a mean between the extremes."""
    columns = Columns()
    columns.append(rows_of(values))
    thinned = await thin(columns.rows(), max_points)
    if len(values) <= max_points:
        assert thinned.minimums is None
        np.testing.assert_array_equal(thinned.values, values)
        return
    assert len(thinned) == max_points
    minimums, maximums, counts = thinned.with_extremes()
    assert counts.sum() == len(values)
    starts = [int(step) for step in thinned.steps]
    assert starts[0] == 0
    for index, start in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else len(values)
        known = finite(values[start:end])
        assert counts[index] == end - start
        if not known:
            assert math.isnan(thinned.values[index])
            assert math.isnan(minimums[index])
            continue
        assert (minimums[index], maximums[index]) == (min(known), max(known))
        assert min(known) <= thinned.values[index] <= max(known)


@given(values=values_of_a_run.filter(lambda values: len(values) > 20), factor=st.integers(2, 5))
async def test_merging_what_was_merged_stays_exact(values, factor):
    """Thinning twice gives the extremes and counts of thinning once."""
    columns = Columns()
    columns.append(rows_of(values))
    once = await thin(columns.rows(), len(values) // factor)
    twice = await thin(once, 3)
    minimums, maximums, counts = twice.with_extremes()
    assert counts.sum() == len(values)
    known = finite(values)
    if known:
        assert np.nanmin(minimums) == min(known)
        assert np.nanmax(maximums) == max(known)


async def test_a_long_run_is_thinned_in_stretches():
    """Three million rows are merged in several stretches, and no spike is lost at their edges."""
    columns = Columns()
    columns.append(rows_of([0.0]))
    count = 3 << 20
    columns._data = np.zeros((3, count))
    columns._data[0] = np.arange(count)
    columns._rows = count
    spikes = (0, (1 << 20) - 2000, (1 << 20) + 2000, 2 << 20, count - 1)
    for spike in spikes:
        columns._data[2, spike] = spike + 1.0
    thinned = await thin(columns.rows(), 1000)
    _, maximums, counts = thinned.with_extremes()
    assert len(thinned) == 1000
    assert counts.sum() == count
    assert {spike + 1.0 for spike in spikes} <= set(maximums)


async def test_memory_is_bounded_and_no_spike_is_lost(store):
    """Over the limit rows are merged; bytes stay below it, extremes and counts stay exact."""
    total = 400_000
    values = np.sin(np.arange(total, dtype=float))
    values[123_456], values[234_567] = 1000.0, -1000.0
    for start in range(0, total, 10_000):
        part = rows_of(values[start : start + 10_000].tolist(), start)
        await store.append("s", Record("p", start // 10_000 + 1, series=[part]))
    history = store._sessions["s"]
    assert history._columns_bytes == sum(each.nbytes + 1000 for each in history._columns.values())
    assert history._columns_bytes <= 1 << 20
    (found,) = await store.metrics("s", MetricsQuery(max_points=500))
    assert (max(found.maximums), min(found.minimums)) == (1000.0, -1000.0)
    assert sum(found.counts) == total
    assert found.steps[0] == 0


async def test_key_frames_go_before_scalars(store):
    """Under pressure pictures are thinned first; not one row is merged while any are left."""
    for number in range(30):
        frame = BatchData(global_step=number, images=[ImageData(image_bytes=bytes(20_000))])
        part = rows_of([1.0] * 700, number * 700)
        await store.append("s", Record("p", number + 1, series=[part], key_frame=frame))
    history = store._sessions["s"]
    assert 0 < len(history.key_frames) < 25
    assert history._columns_bytes + history.key_frames.nbytes <= 1 << 20
    assert not history._columns["loss", 0].merged


def test_thinned_key_frames_span_the_history():
    """Of many pictures those that stay are spread out, and the newest is among them."""
    frames = KeyFrames(50_000)
    for step in range(500):
        frames.add(BatchData(global_step=step, images=[ImageData(image_bytes=bytes(1000))]))
    assert frames.nbytes <= 50_000
    assert frames.nearest(10**9).global_step == 499
    steps = sorted({frames.nearest(asked).global_step for asked in range(500)})
    gaps = [after - before for before, after in pairwise(steps)]
    assert len(steps) >= 24
    assert steps[0] == 0
    assert max(gaps) <= 16


def test_thinning_ends_with_nothing_left():
    """However little room there is, thinning comes to an end; the newest goes last."""
    frames = KeyFrames(1 << 20)
    for step in range(10):
        frames.add(BatchData(global_step=step))
    while frames.thin():
        if len(frames):
            assert frames.nearest(99).global_step == 9
    assert (len(frames), frames.nbytes) == (0, 0)
    tiny = KeyFrames(1)
    tiny.add(BatchData(global_step=1))
    assert tiny.nearest(1) is None


def test_the_nearest_key_frame_is_found():
    """Between two pictures the nearer counts, of equally near ones the earlier."""
    frames = KeyFrames(1 << 20)
    assert frames.nearest(3) is None
    for step in (10, 20, 20):
        frames.add(BatchData(global_step=step))
    assert len(frames) == 2
    found = {asked: frames.nearest(asked).global_step for asked in (0, 14, 15, 16, 99)}
    assert found == {0: 10, 14: 10, 15: 10, 16: 20, 99: 20}


def test_two_stores_have_two_identities():
    """A cursor of one store is unknown to another."""
    assert MemoryStore(1).identity != MemoryStore(1).identity


@given(st.lists(st.integers(1, 30), max_size=60))
def test_numbers_are_committed_once_and_gaps_counted(arriving):
    """Whatever arrives, what is stored and what is missing add up to the highest number."""
    numbers = Sequences()
    kept = 0
    for sequence in arriving:
        if not numbers.is_duplicate(sequence):
            numbers.commit(sequence)
            kept += 1
    assert kept + numbers.missing == (numbers.stored or 0)
    assert (numbers.stored or 0) == max(arriving, default=0)
