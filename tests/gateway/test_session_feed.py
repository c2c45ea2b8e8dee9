"""One live stream shared by many viewers: no gap, no repeat, at the greatest demand."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.const import Status

from trainmon.tasks import Tasks
from trainmon.v1 import dashboard_pb2
from trainmon_gateway import session_feed
from trainmon_gateway.errors import CallError
from trainmon_gateway.session_feed import SessionFeed
from trainmon_gateway.viewer import Demand, Viewer


def numbers(events):
    """Return the numbers of the events that carry one."""
    return [each.status_update.timestamp_ms for each in events if each.HasField("status_update")]


async def read_until(reply, number):
    """Return every event up to the one with this number."""
    events = []
    while not events or numbers(events[-1:]) != [number]:
        events.append(await reply.event())
    return events


def feed_of(gateway, session_id):
    """Return the feed of a session that is watched."""
    return gateway._service._sessions[session_id]


def rates(monitor, session_id):
    """Return what the monitor's viewers ask for: the gateway's streams, one each."""
    hub = monitor.hub(session_id)
    return sorted(each.demand.frames_per_second for each in hub._viewers)


async def test_many_viewers_cost_the_monitor_one_stream(monitor, open_gateway, tools):
    """However many watch, one stream to the monitor is open once all have joined."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    replies = [await browser.watch(session_id) for _ in range(12)]
    for reply in replies:
        await reply.event("snapshot")
    await tools.until(lambda: monitor.hub(session_id).viewers == 1)
    monitor.note(session_id, 7)
    for reply in replies:
        assert numbers(await read_until(reply, 7)) == [7]


async def test_viewers_that_come_at_any_time_see_neither_gap_nor_repeat(
    monitor, open_gateway, tools, monkeypatch
):
    """Viewers who join while events pour in get every event after their snapshot, once."""
    monkeypatch.setattr(session_feed, "SNAPSHOT_SERVES_S", 0.02)
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    published = 0

    async def pour():
        nonlocal published
        while published < 800:
            published += 1
            monitor.note(session_id, published)
            await asyncio.sleep(0)

    pouring = asyncio.create_task(pour())
    replies = []
    while not pouring.done() and len(replies) < 16:
        replies.append(await browser.watch(session_id))
        await replies[-1].event("snapshot")
    await pouring
    for reply in replies:
        seen = numbers(await read_until(reply, published))
        assert seen == list(range(seen[0], published + 1))
    await tools.until(lambda: monitor.hub(session_id).viewers == 1)


async def test_a_viewer_resumes_after_its_cursor(monitor, browser):
    """A viewer that comes back with a cursor gets what it missed, then what is new, once each."""
    session_id = await monitor.session()
    watching = await browser.watch(session_id)
    await watching.event("snapshot")
    for number in range(1, 11):
        monitor.note(session_id, number)
    events = await read_until(watching, 10)
    cursor = next(each.cursor for each in events if numbers([each]) == [4])
    back = await browser.watch(session_id, resume_cursor=cursor)
    assert not (await back.event("snapshot")).snapshot.reset
    monitor.note(session_id, 11)
    assert numbers(await read_until(back, 11)) == list(range(5, 12))


async def test_a_viewer_resumes_alone(monitor, open_gateway):
    """A viewer that resumes where nobody else watches gets what it missed, then what is new."""
    session_id = await monitor.session()
    start = monitor.hub(session_id).cursor
    for number in range(1, 6):
        monitor.note(session_id, number)
    _, browser = await open_gateway(monitor.address)
    reply = await browser.watch(session_id, resume_cursor=start)
    assert numbers(await read_until(reply, 5)) == [1, 2, 3, 4, 5]
    monitor.note(session_id, 6)
    assert numbers(await read_until(reply, 6)) == [6]


async def test_an_unknown_cursor_gets_a_snapshot_that_says_reset(monitor, browser):
    """The monitor's word on a cursor it does not know reaches the viewer."""
    session_id = await monitor.session()
    first = await browser.watch(session_id)
    await first.event("snapshot")
    reply = await browser.watch(session_id, resume_cursor="elsewhere:7")
    assert (await reply.event("snapshot")).snapshot.reset
    monitor.note(session_id, 1)
    assert numbers(await read_until(reply, 1)) == [1]


async def test_the_greatest_demand_is_asked_for_at_once(monitor, open_gateway, tools):
    """A viewer who wants more raises what the monitor is asked for, rate and tile apart."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    slow = await browser.watch(session_id, frames_per_second=5, tile_size=256)
    await slow.event("snapshot")
    await tools.until(lambda: rates(monitor, session_id) == [5])
    fast = await browser.watch(session_id, frames_per_second=60, tile_size=64)
    await fast.event("snapshot")
    await tools.until(lambda: rates(monitor, session_id) == [60])
    (viewer,) = monitor.hub(session_id)._viewers
    assert viewer.demand.tile_size == 256


async def test_demand_falls_when_a_viewer_has_left_for_a_while(
    monitor, open_gateway, tools, monkeypatch
):
    """What only a departed viewer wanted is no longer asked for after the linger."""
    monkeypatch.setattr(session_feed, "LINGER_S", 0.1)
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    slow = await browser.watch(session_id, frames_per_second=5)
    fast = await browser.watch(session_id, frames_per_second=60)
    await fast.event("snapshot")
    await tools.until(lambda: rates(monitor, session_id) == [60])
    fast.close()
    await tools.until(lambda: rates(monitor, session_id) == [5])
    monitor.note(session_id, 1)
    assert numbers(await read_until(slow, 1)) == [1]


async def test_a_viewer_that_wants_no_pictures_gets_none(monitor, open_gateway, tools):
    """A demand below 0 is passed on as none, and pictures are kept from that viewer."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    blind = await browser.watch(session_id, frames_per_second=-1)
    await blind.event("snapshot")
    assert rates(monitor, session_id) == [0]
    seeing = await browser.watch(session_id, frames_per_second=60)
    await seeing.event("snapshot")
    await tools.until(lambda: rates(monitor, session_id) == [60])
    monitor.picture(session_id, 5)
    assert (await seeing.event("batch_data")).batch_data.global_step == 5
    monitor.note(session_id, 1)
    assert not any(each.HasField("batch_data") for each in await read_until(blind, 1))


async def test_changing_demand_shows_nobody_a_gap_or_a_repeat(
    monitor, open_gateway, tools, monkeypatch
):
    """While the live stream is opened anew again and again, every event arrives once."""
    monkeypatch.setattr(session_feed, "LINGER_S", 0.005)
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    steady = await browser.watch(session_id, frames_per_second=1)
    await steady.event("snapshot")
    published, stop = 0, False

    async def pour():
        nonlocal published
        while not stop:
            published += 1
            monitor.note(session_id, published)
            await asyncio.sleep(0.0005)

    pouring = asyncio.create_task(pour())
    for rate in range(2, 30):
        other = await browser.watch(session_id, frames_per_second=rate * 2)
        await other.event("snapshot")
        other.close()
    stop = True
    await pouring
    monitor.note(session_id, published + 1)
    assert numbers(await read_until(steady, published + 1)) == list(range(1, published + 2))


async def test_a_late_viewer_of_a_quiet_session_gets_its_picture(monitor, browser, monkeypatch):
    """The newest picture is in the snapshot of whoever wants pictures, also where none follow."""
    session_id = await monitor.session()
    from trainmon.v1 import telemetry_pb2

    batch = telemetry_pb2.BatchData(global_step=3)
    batch.images.add(image_bytes=b"\xff\xd8\xff", format="jpeg", width=8, height=8, channels=1)
    monitor.backend.registry.sessions[session_id].picture = batch
    blind = await browser.watch(session_id, frames_per_second=-1)
    await blind.event("snapshot")
    asked = []
    original = session_feed.SessionFeed._request
    monkeypatch.setattr(
        session_feed.SessionFeed,
        "_request",
        lambda self, cursor, demand: (
            asked.append(demand.frames_per_second) or original(self, cursor, demand)
        ),
    )
    seeing = await browser.watch(session_id, frames_per_second=10)
    await seeing.event("snapshot")
    assert 10 in asked


async def test_the_feed_ends_when_nobody_watches(monitor, open_gateway, tools, monkeypatch):
    """After the last viewer and the linger nothing is open to the monitor."""
    monkeypatch.setattr(session_feed, "LINGER_S", 0.05)
    session_id = await monitor.session()
    gateway, browser = await open_gateway(monitor.address)
    reply = await browser.watch(session_id)
    await reply.event("snapshot")
    reply.close()
    await tools.until(lambda: monitor.hub(session_id).viewers == 0)
    assert gateway._service._sessions == {}


async def test_a_deleted_session_ends_its_viewers_as_the_monitor_says(monitor, browser):
    """How the monitor ends a live stream reaches every viewer."""
    session_id = await monitor.session()
    replies = [await browser.watch(session_id) for _ in range(3)]
    for reply in replies:
        await reply.event("snapshot")
    monitor.hub(session_id).end(Status.NOT_FOUND, "deleted meanwhile")
    for reply in replies:
        await reply.messages()
        assert reply.outcome == (Status.NOT_FOUND, "deleted meanwhile")


async def test_a_live_stream_that_was_too_slow_goes_on_unnoticed(monitor, open_gateway, tools):
    """When the monitor ends the gateway's stream for want of speed, viewers miss nothing."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    reply = await browser.watch(session_id)
    await reply.event("snapshot")
    monitor.note(session_id, 1)
    await read_until(reply, 1)
    monitor.hub(session_id).end(Status.RESOURCE_EXHAUSTED, "too slow")
    monitor.note(session_id, 2)
    assert numbers(await read_until(reply, 2)) == [2]


async def test_pictures_are_thinned_to_each_viewers_own_rate(monitor, open_gateway, tools):
    """A viewer who wants few pictures gets few while another gets all, both the newest."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    fast = await browser.watch(session_id, frames_per_second=60)
    slow = await browser.watch(session_id, frames_per_second=4)
    for reply in (fast, slow):
        await reply.event("snapshot")
    await tools.until(lambda: rates(monitor, session_id) == [60])
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for step in range(1, 46):
        monitor.picture(session_id, step)
        await fast.event("batch_data")
    took = loop.time() - begin
    monitor.note(session_id, 99)
    pictures = [each for each in await read_until(slow, 99) if each.HasField("batch_data")]
    assert 1 <= len(pictures) <= took * 4 + 3


@pytest.mark.parametrize("rate", [float("nan"), 0.0])
async def test_a_rate_that_says_nothing_is_the_default(monitor, open_gateway, tools, rate):
    """Rates of 0 and NaN ask for the default of 15 pictures a second."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    reply = await browser.watch(session_id, frames_per_second=rate)
    await reply.event("snapshot")
    assert rates(monitor, session_id) == [15]


async def test_a_viewer_that_does_not_read_costs_bounded_bytes_and_resumes(
    monitor, open_gateway, tools
):
    """A stalled viewer's queue fills, is dropped, and ends with RESOURCE_EXHAUSTED and a cursor."""
    session_id = await monitor.session()
    gateway, browser = await open_gateway(monitor.address, viewer_queue_bytes=1 << 17)
    request = browser.watch
    stalled = await request(session_id)
    quick = await request(session_id)
    first = await stalled.event("snapshot")
    await quick.event("snapshot")
    number = 0
    feed = feed_of(gateway, session_id)
    members = list(feed._members)
    while not any(each.ended for each in members):
        number += 1
        monitor.note(session_id, number, size=20_000)
        await read_until(quick, number)
        assert all(each.waiting_bytes <= 1 << 17 for each in members)
        assert number < 2000, "nothing ever filled"
    events = [first]
    while (message := await tools.soon(stalled.message())) is not None:
        events.append(type(first).FromString(message))
    assert stalled.outcome[0] is Status.RESOURCE_EXHAUSTED
    seen = numbers(events)
    assert seen == list(range(1, len(seen) + 1))
    back = await request(session_id, resume_cursor=events[-1].cursor)
    snapshot = (await back.event("snapshot")).snapshot
    if not snapshot.reset:
        assert numbers(await read_until(back, number)) == list(range(seen[-1] + 1, number + 1))


class _Breaking:
    """A monitor's link that, as grpclib may, answers a cancellation with another error."""

    def __init__(self):
        self.requests = []
        self.opened = asyncio.Event()

    async def stream(self, _method, request):
        self.requests.append(dashboard_pb2.WatchSessionRequest.FromString(request))
        self.opened.set()
        snapshot = dashboard_pb2.WatchSessionResponse(cursor="c:1", snapshot={})
        yield snapshot.SerializeToString()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise CallError(Status.UNAVAILABLE, "the connection was lost") from None


async def test_a_demand_is_raised_though_the_link_breaks_at_that_moment(tools):
    """The live stream is opened anew, and nobody who watches is sent away."""
    link, tasks = _Breaking(), Tasks()
    feed = SessionFeed(link, tasks, "session", 1000, lambda: None)
    first, second = Viewer(Demand(-1), 1000), Viewer(Demand(30), 1000)
    feed.attach(first, "")
    await tools.until(lambda: first.waiting_bytes > 0)
    feed.attach(second, "c:1")
    await tools.until(lambda: sum(each.frames_per_second == 30 for each in link.requests) >= 2)
    assert not first.ended
    feed.end(None)
    await tasks.close()
