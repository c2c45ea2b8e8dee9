"""Viewers' queues, pictures and demand, without sockets."""

from __future__ import annotations

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from trainmon.monitor.clock import Clock
from trainmon.monitor.hub import LOWER_AFTER_S, DemandGauge, Hub
from trainmon.monitor.pictures import PictureChecker
from trainmon.monitor.viewer import Demand, Event, Picture, Viewer
from trainmon.monitor.wire_events import EventField, encode_event
from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from trainmon.v1.telemetry_pb2 import BatchData, MetricData, StatusUpdate

LIMIT = 1 << 16


@pytest.fixture
async def hub():
    """Return a hub whose demand nobody hears of."""
    return Hub("store-1", LIMIT, Clock(), lambda: None)


async def viewer(frames_per_second=60.0, limit=LIMIT):
    """Return a viewer; its events belong to the running loop."""
    return Viewer(Demand(frames_per_second), limit)


def kinds(one, now=0.0):
    """Return what a viewer would be sent now."""
    found = []
    while (data := one.take(now)) is not None:
        found.append(WatchSessionResponse.FromString(data).WhichOneof("event"))
    return found


@given(
    text=st.text(max_size=300),
    timestamp=st.integers(0, 1 << 62),
    cursor=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200),
)
def test_events_are_spliced_as_protobuf_would_write_them(text, timestamp, cursor):
    """An event built from serialised bytes decodes to the same message."""
    payload = StatusUpdate(message=text)
    data = encode_event(EventField.STATUS_UPDATE, payload.SerializeToString(), timestamp, cursor)
    built = WatchSessionResponse(timestamp_ms=timestamp, cursor=cursor, status_update=payload)
    assert WatchSessionResponse.FromString(data) == built


async def test_the_newest_picture_wins():
    """A picture that waits is replaced, and the replacement counted."""
    one = await viewer()
    for name in (b"a", b"b", b"c"):
        one.push_picture(Picture(9, name, has_samples=True))
    assert one.take(0.0) == b"c"
    assert one.take(10.0) is None
    assert one.pictures_dropped == 2


async def test_everything_else_keeps_its_order():
    """Events come in order and before pictures."""
    one = await viewer()
    one.push_picture(Picture(9, b"picture", has_samples=True))
    for name in (b"a", b"b"):
        one.push(Event(1, name))
    assert [one.take(0.0) for _ in range(4)] == [b"a", b"b", b"picture", None]


async def test_a_full_queue_ends_the_viewer():
    """Beyond the limit the queue is dropped and the stream ended with RESOURCE_EXHAUSTED."""
    one = await viewer(limit=1000)
    one.push(Event(1, bytes(500)))
    assert not one.over
    one.push(Event(2, bytes(500)))
    assert one.over
    assert one._status is Status.RESOURCE_EXHAUSTED
    assert "resume_cursor" in one._reason
    assert one.queued_bytes == 0
    one.push(Event(3, b"late"))
    assert one.take(0.0) is None


@given(st.lists(st.floats(0.0, 0.1), min_size=2, max_size=200), st.sampled_from([5.0, 15.0, 60.0]))
async def test_pictures_keep_to_the_pace(gaps, rate):
    """However pictures arrive, no more are sent in a second than asked for, and one at once."""
    one = await viewer(rate)
    now, sent = 100.0, []
    for gap in gaps:
        now += gap
        one.push_picture(Picture(9, b"x", has_samples=True))
        if one.take(now) is not None:
            sent.append(now)
    assert len(sent) >= 1
    for start in sent:
        within = [each for each in sent if start <= each < start + 1.0]
        assert len(within) <= rate + 1


async def test_a_steady_source_with_jitter_loses_nothing():
    """Sixty pictures a second that come a little early or late are all sent in time."""
    one = await viewer(60.0)
    sent = 0
    for index in range(600):
        now = 100.0 + index / 60 + (0.003 if index % 2 else 0.0)
        one.push_picture(Picture(9, b"x", has_samples=True))
        sent += one.take(now) is not None
    assert sent == 600


async def test_the_pace_tells_when_to_look_again():
    """A picture that is too early is sent when its time has come."""
    one = await viewer(10.0)
    one.push_picture(Picture(9, b"a", has_samples=True))
    assert one.take(50.0) == b"a"
    one.push_picture(Picture(9, b"b", has_samples=True))
    assert one.take(50.01) is None
    due = one.next_due()
    assert 50.05 < due <= 50.1
    assert one.take(due) == b"b"
    assert one.next_due() is None


async def test_what_events_overtake_takes_no_viewer_back(hub):
    """A picture or a keep-alive that waited is told with the cursor of what came before it."""
    one = hub.viewer(Demand(10))
    hub.add(one, b"", hub.position)
    hub.publish_picture(BatchData(epoch=1).SerializeToString, has_samples=True)
    assert kinds(one) == ["snapshot", "batch_data"]
    hub.publish_picture(BatchData(epoch=2).SerializeToString, has_samples=True)
    hub.keep_alive(b"")
    hub.publish(EventField.METRIC_DATA, MetricData(timestamp_ms=1).SerializeToString())
    told = [WatchSessionResponse.FromString(one.take(now)) for now in (0.0, 0.05, 1.0)]
    assert [each.WhichOneof("event") for each in told] == [
        "metric_data",
        "keep_alive",
        "batch_data",
    ]
    assert [each.cursor for each in told] == [hub.cursor] * 3
    assert told[2].batch_data.epoch == 2


async def test_a_late_viewer_misses_nothing_known(hub):
    """Between a cursor and now every event is delivered once, in order."""
    hub.publish(EventField.METRIC_DATA, MetricData(timestamp_ms=1).SerializeToString())
    cursor = hub.cursor
    for number in (2, 3):
        hub.publish(EventField.METRIC_DATA, MetricData(timestamp_ms=number).SerializeToString())
    one = await viewer()
    hub.add(one, b"", hub.known(cursor))
    events = [WatchSessionResponse.FromString(one.take(0.0)) for _ in range(3)]
    assert events[0].WhichOneof("event") == "snapshot"
    assert events[0].cursor == cursor
    assert [each.metric_data.timestamp_ms for each in events[1:]] == [2, 3]
    assert events[-1].cursor == hub.cursor


async def test_old_events_are_forgotten(hub):
    """The ring is bounded; what it no longer reaches is unknown, the newest position is known."""
    first = hub.cursor
    for _ in range(200):
        hub.publish(EventField.STATUS_UPDATE, bytes(500))
    assert hub._ring_bytes <= LIMIT // 4
    assert hub.known(first) is None
    assert hub.known(hub.cursor) == 200
    assert hub.known("store-1:201") is None
    assert hub.known("store-2:200") is None


async def test_catching_up_cannot_overflow_a_viewer(hub):
    """Everything the ring holds fits into a new viewer's queue."""
    for _ in range(200):
        hub.publish(EventField.STATUS_UPDATE, bytes(500))
    one = hub.viewer(Demand(15))
    hub.add(one, bytes(1000), hub._ring[0].position - 1)
    assert not one.over


async def test_pictures_are_serialised_only_for_someone(hub):
    """Nobody watches: nothing is serialised. Two watch: once."""
    calls = []

    def payload():
        calls.append(1)
        return BatchData(epoch=1).SerializeToString()

    hub.publish_picture(payload, has_samples=True)
    assert not calls
    viewers = [hub.viewer(Demand(60)) for _ in range(2)]
    for one in viewers:
        hub.add(one, b"", 0)
    hub.publish_picture(payload, has_samples=True)
    assert len(calls) == 1
    assert [kinds(one) for one in viewers] == [["snapshot", "batch_data"]] * 2


def test_demand_rises_at_once_and_falls_late():
    """More is wanted: now. Less is wanted: when it has lasted, unless it rises before."""
    gauge = DemandGauge()
    assert gauge.update(Demand(30, 256), 0.0)
    assert not gauge.update(Demand(15, 128), 1.0)
    assert gauge.now == Demand(30, 256)
    assert not gauge.update(Demand(30, 256), 2.0)
    assert not gauge.update(Demand(15, 128), 2.5)
    assert not gauge.update(Demand(15, 128), 2.5 + LOWER_AFTER_S - 0.1)
    assert gauge.update(Demand(15, 128), 2.5 + LOWER_AFTER_S)
    assert gauge.now == Demand(15, 128)


def test_demand_rises_in_one_part_while_the_other_falls():
    """Faster but smaller: the rate rises at once, the size falls later."""
    gauge = DemandGauge()
    gauge.update(Demand(15, 512), 0.0)
    assert gauge.update(Demand(60, 64), 1.0)
    assert gauge.now == Demand(60, 512)
    assert gauge.update(Demand(60, 64), 1.0 + LOWER_AFTER_S)
    assert gauge.now == Demand(60, 64)


@pytest.mark.parametrize("form", ["jpeg", "png"])
@pytest.mark.parametrize("size", [(1, 1), (16, 32), (512, 512)])
def test_headers_are_read_and_recognised(picture, form, size):
    """The first picture of a kind is walked, the next is known by its header; both are right."""
    checker = PictureChecker()
    for _ in range(2):
        image = picture(*size, form)
        image.width = image.height = 500
        assert not checker.complaint(image)
        assert (image.width, image.height) == size


@given(st.binary(max_size=200))
def test_no_bytes_break_the_header_parser(data):
    """Garbage behind a JPEG's first bytes is a complaint or a picture, never an exception."""
    from trainmon.v1.telemetry_pb2 import ImageData

    for start in (b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x04ab", b"\x89PNG\r\n\x1a\n"):
        for form in ("jpeg", "png"):
            image = ImageData(image_bytes=start + data, format=form, width=8, height=8)
            PictureChecker().complaint(image)
