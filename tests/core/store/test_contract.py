"""What every store does, whatever it is made of."""

from __future__ import annotations

import asyncio

import pytest

from trainmon.monitor.store.base import AnswerTooLargeError, MetricsQuery, Record
from trainmon.monitor.store.memory import MAX_SERIES
from trainmon.v1.telemetry_pb2 import BatchData, ImageData, MetricSeries


async def test_ranges_are_inclusive(store, rows_of):
    """The first and the last step asked for are both in the answer."""
    await store.append("s", Record("p", 1, series=[rows_of([0.0, 1.0, 2.0, 3.0, 4.0])]))
    (found,) = await store.metrics("s", MetricsQuery(first_step=1, last_step=3))
    assert list(found.values) == [1, 2, 3]
    assert not await store.metrics("s", MetricsQuery(first_step=9))
    assert not await store.metrics("s", MetricsQuery(first_step=3, last_step=1))


async def test_rows_come_back_in_the_order_of_steps(store, rows_of):
    """Rows that arrived out of order are answered in order; those of one step as they came."""
    for first in (10, 0, 5, 0):
        await store.append("s", Record("", None, series=[rows_of([float(first)] * 5, first)]))
    (found,) = await store.metrics("s", MetricsQuery(first_step=3))
    assert list(found.steps) == [3, 3, 4, 4, *range(5, 15)]
    assert list(found.values) == [0] * 4 + [5] * 5 + [10] * 5


async def test_attempts_are_kept_apart(store, rows_of):
    """Steps trained again are another series; the earlier ones stay."""
    for attempt in range(2):
        again = rows_of([float(attempt)], attempt=attempt)
        await store.append("s", Record("p", attempt + 1, series=[again]))
    found = await store.metrics("s", MetricsQuery(names=["loss"]))
    assert [(each.attempt, list(each.values)) for each in found] == [(0, [0.0]), (1, [1.0])]


async def test_merged_rows_from_the_training_are_kept_as_they_are(store, rows_of):
    """Rows a relay merged stand beside plain ones, each with its own extremes and count."""
    merged = MetricSeries(
        name="loss", steps=[1], times=[1], values=[5], minimums=[2], maximums=[9], counts=[4]
    )
    await store.append("s", Record("p", 1, series=[rows_of([1.0])]))
    await store.append("s", Record("p", 2, series=[merged]))
    await store.append("s", Record("p", 3, series=[rows_of([7.0], 5)]))
    (found,) = await store.metrics("s", MetricsQuery())
    assert list(found.values) == [1, 5, 7]
    assert list(found.minimums) == [1, 2, 7]
    assert list(found.maximums) == [1, 9, 7]
    assert list(found.counts) == [1, 4, 1]


async def test_thinned_rows_have_exact_extremes(store, rows_of):
    """At most so many rows come back, their counts add up, and a spike is in them."""
    values = [0.0] * 5000
    values[1234], values[4321] = 99.0, -99.0
    for start in range(0, 5000, 100):
        part = rows_of(values[start : start + 100], start)
        await store.append("s", Record("p", start // 100 + 1, series=[part]))
    (found,) = await store.metrics("s", MetricsQuery(max_points=70))
    assert len(found.steps) == 70
    assert sum(found.counts) == 5000
    assert (max(found.maximums), min(found.minimums)) == (99.0, -99.0)


async def test_names_choose_series(store, rows_of):
    """Only what was asked for comes, by name."""
    both = [rows_of([1.0], name="b"), rows_of([2.0], name="a"), rows_of([3.0], name="c")]
    await store.append("s", Record("p", 1, series=both))
    found = await store.metrics("s", MetricsQuery(names=["b", "a", "no such"]))
    assert [each.name for each in found] == ["a", "b"]


async def test_an_answer_that_is_too_large_is_refused(store, rows_of):
    """Instead of filling the memory it is said how to ask for less."""
    await store.append("s", Record("p", 1, series=[rows_of([1.0] * 1000)]))
    with pytest.raises(AnswerTooLargeError, match="max_points"):
        await store.metrics("s", MetricsQuery(max_bytes=1000))
    (found,) = await store.metrics("s", MetricsQuery(max_bytes=1000, max_points=10))
    assert len(found.steps) == 10


async def test_records_are_kept_once(store, rows_of):
    """The same producer's number is kept once; another producer's or session's is another."""
    for session, producer in (("s", "p"), ("s", "p"), ("s", "q"), ("t", "p")):
        await store.append(session, Record(producer, 1, series=[rows_of([1.0])]))
    (found,) = await store.metrics("s", MetricsQuery())
    assert len(found.steps) == 2
    assert await store.stored_sequence("s", "p") == 1
    assert await store.stored_sequence("s", "nobody") is None
    assert await store.stored_sequence("nowhere", "p") is None


async def test_the_greatest_numbers_are_kept(store, rows_of):
    """Sequences have 64 bits without a sign, and so have steps of pictures."""
    greatest = 2**64 - 1
    frame = BatchData(global_step=greatest)
    await store.append("s", Record("p", greatest, key_frame=frame))
    assert await store.stored_sequence("s", "p") == greatest
    assert (await store.key_frame("s", greatest)).global_step == greatest


async def test_many_at_once_are_all_kept(store, rows_of):
    """Records that are given together are kept together, each once."""
    given = [
        store.append(f"s{index % 5}", Record(f"p{index}", 1, series=[rows_of([1.0], index)]))
        for index in range(200)
    ]
    await asyncio.gather(*given)
    found = [await store.metrics(f"s{index}", MetricsQuery()) for index in range(5)]
    assert [len(series.steps) for (series,) in found] == [40] * 5


async def test_the_nearest_key_frame_is_found(store):
    """The nearest picture counts, of two equally near that of the later attempt."""
    assert await store.key_frame("s", 3) is None
    frames = [(10, 0), (20, 0), (20, 1), (30, 1), (50, 1)]
    for number, (step, attempt) in enumerate(frames):
        frame = BatchData(global_step=step, attempt=attempt, images=[ImageData(width=number)])
        await store.append("s", Record("p", number + 1, key_frame=frame))
    asked = {
        0: (10, 0),
        14: (10, 0),
        15: (20, 1),
        20: (20, 1),
        25: (20, 1),
        26: (30, 1),
        99: (50, 1),
    }
    for step, wanted in asked.items():
        found = await store.key_frame("s", step)
        assert (found.global_step, found.attempt) == wanted
    assert (await store.key_frame("s", 40)).images[0].width == 3


async def test_a_picture_of_the_same_step_takes_its_place(store):
    """Of one step and attempt the newest is kept."""
    for number in range(3):
        frame = BatchData(global_step=7, images=[ImageData(width=number)])
        await store.append("s", Record("p", number + 1, key_frame=frame))
    assert (await store.key_frame("s", 7)).images[0].width == 2


async def test_series_are_bounded(store, rows_of):
    """Names without end are refused with the limit; known series go on."""
    for start in range(0, MAX_SERIES, 1000):
        names = [MetricSeries(name=f"m{start + index}") for index in range(1000)]
        assert not await store.append("s", Record("p", None, series=names))
    more = [MetricSeries(name="one more"), rows_of([1.0], name="m1")]
    (complaint,) = await store.append("s", Record("p", None, series=more))
    assert str(MAX_SERIES) in complaint
    assert "one more" in complaint
    (found,) = await store.metrics("s", MetricsQuery())
    assert (found.name, list(found.values)) == ("m1", [1.0])


async def test_a_forgotten_session_is_gone(store, rows_of):
    """Nothing is left of what was deleted, and its name can be used again."""
    frame = BatchData(global_step=1)
    await store.append("s", Record("p", 5, series=[rows_of([1.0])], key_frame=frame))
    await store.append("t", Record("p", 1, series=[rows_of([1.0])], key_frame=frame))
    await store.forget("s")
    await store.forget("no such session")
    assert await store.key_frame("s", 1) is None
    assert not await store.metrics("s", MetricsQuery())
    assert await store.stored_sequence("s", "p") is None
    await store.append("s", Record("p", 1, series=[rows_of([2.0])]))
    (found,) = await store.metrics("s", MetricsQuery())
    assert list(found.values) == [2.0]
    assert len(await store.metrics("t", MetricsQuery())) == 1
