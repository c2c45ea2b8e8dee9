"""What waits for one viewer: bounded, newest picture wins, events before pictures."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import JOIN_BYTES, Frame, frame
from trainmon_gateway.viewer import Demand, Viewer, greatest


async def test_events_come_in_order_and_together():
    """Small events that wait together are written together, in order."""
    viewer = Viewer(Demand(), 1000)
    for text in (b"a", b"b", b"c"):
        viewer.push(Frame(text))
    viewer.end()
    assert [each async for each in viewer.frames()] == [b"abc"]


async def test_large_events_are_not_copied():
    """An event too large to join is written as the very object that was pushed."""
    viewer, large = Viewer(Demand(), 1 << 20), Frame(bytes(JOIN_BYTES))
    viewer.push(large)
    viewer.push(Frame(b"x"))
    viewer.end()
    frames = [each async for each in viewer.frames()]
    assert frames[0] is large
    assert frames[1] == b"x"


async def test_only_the_newest_picture_waits_and_it_comes_after_the_events():
    """A picture takes the place of one that waits, and is written after what came before it."""
    viewer = Viewer(Demand(60), 1000)
    viewer.show(Frame(b"old"))
    viewer.push(Frame(b"event"))
    viewer.show(Frame(b"new"))
    frames = viewer.frames()
    assert [await anext(frames), await anext(frames)] == [b"event", b"new"]
    viewer.end()
    assert [each async for each in frames] == []


async def test_a_full_queue_is_dropped_and_ends_with_resource_exhausted():
    """More bytes than the limit end the viewer; nothing is held for it any more."""
    viewer = Viewer(Demand(), 100)
    for _ in range(11):
        viewer.push(Frame(bytes(10)))
    assert viewer.ended
    assert viewer.waiting_bytes == 0
    with pytest.raises(CallError) as raised:
        [each async for each in viewer.frames()]
    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    assert "110" in raised.value.message
    assert "100" in raised.value.message


async def test_an_event_over_the_limit_is_taken_alone():
    """A large first snapshot is no sign of a slow viewer: it is written, and what follows, too."""
    viewer, large = Viewer(Demand(), 100), Frame(bytes(1000))
    viewer.push(large)
    frames = viewer.frames()
    assert await anext(frames) is large
    viewer.push(Frame(b"next"))
    assert await anext(frames) == b"next"
    await frames.aclose()


async def test_what_comes_after_the_end_is_ignored():
    """An ended viewer takes neither events nor pictures, and its first end counts."""
    viewer = Viewer(Demand(60), 100)
    viewer.push(Frame(b"last"))
    viewer.end(CallError(Status.NOT_FOUND, "gone"))
    viewer.end(CallError(Status.INTERNAL, "later"))
    viewer.push(Frame(b"x"))
    viewer.show(Frame(b"y"))
    frames = viewer.frames()
    assert await anext(frames) == b"last"
    with pytest.raises(CallError, match="gone"):
        await anext(frames)


async def test_a_paced_viewer_gets_the_newest_picture_when_it_is_due():
    """Pictures between two due times are replaced; the one written is the newest by then."""
    viewer = Viewer(Demand(5), 100)
    viewer.pace(Demand(60))
    frames = viewer.frames()
    viewer.show(Frame(b"1"))
    assert await anext(frames) == b"1"
    waiting = asyncio.create_task(anext(frames))
    for name in (b"2", b"3", b"4"):
        viewer.show(Frame(name))
        await asyncio.sleep(0)
    assert await asyncio.wait_for(waiting, 10) == b"4"
    await frames.aclose()


async def test_a_picture_that_events_overtook_takes_nobody_back():
    """It waited for its time while they were written: it is told with the cursor of the last."""
    first, second, event = (
        frame(WatchSessionResponse(cursor=cursor, **what).SerializeToString(), cursor.encode())
        for cursor, what in (
            ("s:1", {"batch_data": {"epoch": 1}}),
            ("s:1", {"batch_data": {"epoch": 2}}),
            ("s:2", {"metric_data": {"timestamp_ms": 1}}),
        )
    )
    viewer = Viewer(Demand(5), 1000)
    viewer.pace(Demand(60))
    frames = viewer.frames()
    viewer.show(first)
    assert await anext(frames) is first
    viewer.show(second)
    viewer.push(event)
    assert await anext(frames) is event
    late = WatchSessionResponse.FromString((await asyncio.wait_for(anext(frames), 10))[5:])
    assert (late.cursor, late.batch_data.epoch) == ("s:2", 2)
    viewer.show(frame(late.SerializeToString(), b"s:2"))
    assert (await asyncio.wait_for(anext(frames), 10))[5:] == late.SerializeToString()
    await frames.aclose()


async def test_leaving_drops_everything_and_stops_the_clock():
    """A viewer whose frames are closed holds nothing and rings no more."""
    viewer = Viewer(Demand(0.001), 100)
    viewer.pace(Demand(60))
    frames = viewer.frames()
    viewer.show(Frame(b"1"))
    await anext(frames)
    viewer.show(Frame(b"2"))
    waiting = asyncio.create_task(anext(frames))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert viewer.ended
    assert viewer.waiting_bytes == 0
    assert viewer._timer is None


async def test_room_is_waited_for_until_half_the_queue_is_free():
    """Who fills the queue in bulk waits until it has drained, or the viewer has ended."""
    viewer = Viewer(Demand(), 100)
    for _ in range(9):
        viewer.push(Frame(bytes(10)))
    waiting = asyncio.create_task(viewer.has_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(viewer.frames())
    await asyncio.wait_for(waiting, 10)


@given(st.floats(allow_nan=True), st.integers(0, 2**32 - 1))
def test_any_demand_is_brought_into_range(rate, tile):
    """Rates end between 0 and 60, tiles between 32 and 512, and none is said as less than 0."""
    demand = Demand(rate, tile)
    assert 0 <= demand.frames_per_second <= 60
    assert 32 <= demand.tile_size <= 512
    assert Demand(demand.on_the_wire, demand.tile_size) == demand


demands = st.builds(Demand, st.floats(-1, 60), st.integers(0, 512))


@given(st.lists(demands, max_size=5))
def test_the_greatest_demand_covers_all_that_want_pictures(several):
    """What is asked of the monitor covers everyone who wants pictures, and is no more than that."""
    most = greatest(several)
    watching = [each for each in several if each.frames_per_second > 0]
    assert all(most.covers(each) for each in watching)
    assert most.frames_per_second == max((each.frames_per_second for each in watching), default=0)
