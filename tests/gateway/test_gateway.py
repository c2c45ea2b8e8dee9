"""The gateway as a whole: health, the monitor's coming and going, limits, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from grpclib.const import Status

from trainmon.v1 import dashboard_pb2
from trainmon_gateway import upstream
from trainmon_gateway.errors import CallError
from trainmon_gateway.server import Gateway, listen
from trainmon_gateway.upstream import Upstream

HANGS = dashboard_pb2.GetBatchRequest(session_id="hangs")


@pytest.fixture
def free_port():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_the_page_and_the_calls_share_a_port(browser):
    """The dashboard is at the root of the port that takes the calls."""
    reply = await browser.request("GET", "/")
    assert reply.status == 200
    assert (await reply.body()).startswith(b"<!doctype html>")


async def test_a_head_has_the_headers_and_no_body(browser):
    """HEAD answers with the length of the page and leaves the page out."""
    reply = await browser.request("HEAD", "/")
    assert int(reply.headers["content-length"]) > 0
    assert await reply.body() == b""


async def test_health_tells_that_the_process_lives_and_what_it_counted(browser):
    """/healthz answers without the monitor, with counts of what was refused."""
    await browser.request("GET", "/", {"host": "evil.example"})
    reply = await browser.request("GET", "/healthz")
    body = (await reply.body()).decode()
    assert reply.status == 200
    assert body.startswith("ok\n")
    assert "refused_http_421 1\n" in body
    assert "streams 0\n" in body


async def test_ready_while_the_monitor_answers(browser):
    """/readyz answers 200 with the monitor's address."""
    reply = await browser.request("GET", "/readyz")
    assert reply.status == 200
    assert b"answers" in await reply.body()


async def test_without_a_monitor_everything_says_so_at_once(open_gateway, free_port):
    """With no monitor: not ready, every call UNAVAILABLE with what to do, the page served."""
    _, browser = await open_gateway(("127.0.0.1", free_port), up=False)
    ready = await browser.request("GET", "/readyz")
    assert ready.status == 503
    assert b"trainmon serve" in await ready.body()
    for method in ("ListSessions", "WatchSessions", "WatchSession"):
        reply = await browser.call(method)
        assert await reply.messages() == []
        status, words = reply.outcome
        assert status is Status.UNAVAILABLE
        assert str(free_port) in words
        assert "trainmon serve" in words
    assert (await browser.request("GET", "/")).status == 200


async def test_the_gateway_survives_the_monitors_restart(
    open_monitor, open_gateway, stack, monkeypatch
):
    """Streams end with UNAVAILABLE when the monitor goes; when it is back, calls work again."""
    monkeypatch.setattr(upstream, "BACKOFF_S", (0.01, 0.05))
    monitor = await open_monitor()
    port = monitor.server.port
    gateway, browser = await open_gateway(monitor.address)
    session_id = await monitor.session()
    watching, listing = await browser.watch(session_id), await browser.call("WatchSessions")
    await watching.event("snapshot")
    assert await listing.message() is not None
    await monitor.server.close()
    for reply in (watching, listing):
        await reply.messages()
        assert reply.outcome[0] is Status.UNAVAILABLE
    await asyncio.wait_for(gateway.upstream.wait_until(up=False), 10)
    assert (await browser.request("GET", "/readyz")).status == 503
    again = await open_monitor(port=port)
    await asyncio.wait_for(gateway.upstream.wait_until(up=True), 10)
    session_id = await again.session("other")
    reply = await browser.watch(session_id)
    assert (await reply.event("snapshot")).snapshot.summary.session_name == "other"


async def test_a_monitor_that_accepts_and_then_hangs_is_given_up(open_gateway, monkeypatch):
    """A monitor that answers no ping is lost; its calls end with UNAVAILABLE, and say so."""
    monkeypatch.setattr(
        upstream,
        "_CONFIGURATION",
        upstream.Configuration(
            _keepalive_time=0.05,
            _keepalive_timeout=0.2,
            _keepalive_permit_without_calls=True,
            _http2_max_pings_without_data=0,
            _http2_min_sent_ping_interval_without_data=0.01,
        ),
    )
    taken = []

    async def hang(reader, writer):
        taken.append(writer)
        await reader.read()

    async with contextlib.AsyncExitStack() as stack:
        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        stack.callback(server.close)
        _, browser = await open_gateway(server.sockets[0].getsockname())
        for method in ("ListSessions", "WatchSession"):
            reply = await browser.call(method)
            assert await reply.messages() == []
            assert reply.outcome[0] is Status.UNAVAILABLE
        for writer in taken:
            writer.transport.abort()


async def test_the_viewers_deadline_reaches_the_monitor(open_scripted, open_gateway, tools):
    """grpc-timeout ends a call that hangs with DEADLINE_EXCEEDED, and the monitor's handler."""
    monitor, address = await open_scripted()
    _, browser = await open_gateway(address)
    reply = await browser.call("GetBatch", HANGS, grpc_timeout="100m")
    assert await reply.messages() == []
    assert reply.outcome[0] is Status.DEADLINE_EXCEEDED
    await tools.until(lambda: monitor.cancelled == 1)


async def test_a_question_whose_viewer_left_is_withdrawn(
    open_scripted, open_gateway, tools, dashboard
):
    """When a viewer leaves, the call it asked with is cancelled at the monitor."""
    monitor, address = await open_scripted()
    _, browser = await open_gateway(address)
    asking = asyncio.create_task(browser.call("GetBatch", HANGS))
    await tools.until(lambda: monitor.calls == ["GetBatch"])
    browser.close()
    await tools.until(lambda: monitor.cancelled == 1)
    asking.cancel()
    await asyncio.wait({asking})


async def test_a_command_whose_viewer_left_is_carried_through(open_scripted, open_gateway, tools):
    """A Stop sent by a tab that was then closed still reaches the training."""
    monitor, address = await open_scripted()
    _, browser = await open_gateway(address)
    request = dashboard_pb2.SendCommandRequest(session_id="hangs")
    sending = asyncio.create_task(browser.call("SendCommand", request))
    await tools.until(lambda: monitor.calls == ["SendCommand"])
    browser.close()
    await asyncio.wait({sending})
    assert sending.exception() is not None
    monitor.release.set()
    await tools.until(lambda: monitor.calls == ["SendCommand", "SendCommand done"])
    assert monitor.cancelled == 0


async def test_a_stream_that_nobody_reads_holds_up_no_command(monitor, open_gateway, tools):
    """While viewers stall, unary calls answer: they have a connection of their own."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    stalled = [await browser.watch(session_id, frames_per_second=60) for _ in range(3)]
    for reply in stalled:
        await reply.event("snapshot")
    for step in range(30):
        monitor.picture(session_id, step, size=300_000)
        await asyncio.sleep(0.002)
    reply = await browser.call("ListSessions")
    await reply.messages()
    assert reply.outcome[0] is Status.OK


async def test_a_slow_viewer_of_pictures_gets_the_newest(monitor, open_gateway, tools):
    """What a viewer missed while it did not read is skipped: it goes on with the newest picture."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address)
    slow = await browser.request(
        "POST",
        "/trainmon.v1.DashboardService/WatchSession",
        {},
        tools.framed(
            dashboard_pb2.WatchSessionRequest(
                session_id=session_id, frames_per_second=60
            ).SerializeToString()
        ),
        receive_buffer=1 << 16,
    )
    quick = await browser.watch(session_id, frames_per_second=60)
    await slow.event("snapshot")
    await quick.event("snapshot")
    last = 100
    for step in range(1, last + 1):
        monitor.picture(session_id, step, size=200_000)
        await quick.event("batch_data")
    steps = []
    while not steps or steps[-1] != last:
        steps.append((await slow.event("batch_data")).batch_data.global_step)
    assert steps == sorted(set(steps))
    assert len(steps) < last / 2


async def test_a_request_over_the_limit_is_refused_and_the_limit_told(monitor, open_gateway, tools):
    """A request message over max_message_bytes is refused in the protocol, unread."""
    _, browser = await open_gateway(monitor.address, max_message_bytes=1 << 16)
    target = "/trainmon.v1.DashboardService/SendCommand"
    huge = {"content-length": str(300_000_000)}
    for headers, body in ((huge, b""), ({}, tools.framed(bytes((1 << 16) + 1)))):
        reply = await browser.request("POST", target, headers, body)
        assert await reply.messages() == []
        status, words = reply.outcome
        assert status is Status.RESOURCE_EXHAUSTED
        assert "65536" in words


async def test_an_answer_over_the_limit_is_refused(open_scripted, stack, tools, dashboard):
    """An answer that the monitor announces over the limit is not read."""
    _, address = await open_scripted()
    link = await stack.enter_async_context(Upstream(*address, limit=2))
    await tools.soon(link.wait_until(up=True))
    with pytest.raises(CallError, match="the limit is 2 bytes") as raised:
        await link.call("SendCommand", b"", 5)
    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    assert await link.call("ListSessions", b"", 5) == b""


async def test_streams_over_the_limit_are_refused(monitor, open_gateway):
    """More streams than the setting allows are refused, and those there are go on."""
    session_id = await monitor.session()
    _, browser = await open_gateway(monitor.address, max_viewer_streams=2)
    first, second = await browser.watch(session_id), await browser.watch(session_id)
    for reply in (first, second):
        await reply.event("snapshot")
    third = await browser.watch(session_id)
    await third.messages()
    status, words = third.outcome
    assert status is Status.RESOURCE_EXHAUSTED
    assert "TRAINMON_MAX_VIEWER_STREAMS" in words
    await first.event("keep_alive")


@pytest.mark.parametrize("method", ["WatchSession"])
async def test_a_request_that_is_no_message_is_refused(browser, method):
    """Bytes that cannot be decoded are the client's mistake, told as INVALID_ARGUMENT."""
    reply = await browser.call(method, b"\xff\xff\xff")
    assert await reply.messages() == []
    assert reply.outcome[0] is Status.INVALID_ARGUMENT


async def test_a_viewer_that_leaves_is_noticed_at_once(monitor, open_gateway, tools):
    """An idle stream's viewer that disconnects is forgotten without a message being sent."""
    session_id = await monitor.session()
    gateway, browser = await open_gateway(monitor.address)
    reply = await browser.watch(session_id)
    await reply.event("snapshot")
    assert gateway._service.numbers()["streams"] == 1
    reply.close()
    await tools.until(lambda: gateway._service.numbers()["streams"] == 0)


async def test_the_session_list_is_shared_and_whole_for_each_viewer(monitor, open_gateway, tools):
    """However many watch the list, the monitor has one watcher, and each viewer the whole list."""
    first = await monitor.session("first")
    gateway, browser = await open_gateway(monitor.address)
    early = await browser.call("WatchSessions")
    await _listed(early, {first})
    second = await monitor.session("second")
    await _listed(early, {second})
    late = await browser.call("WatchSessions")
    response = dashboard_pb2.WatchSessionsResponse.FromString(await late.message())
    assert response.reset
    assert {each.session_id for each in response.sessions} == {first, second}
    assert gateway._service._list.viewers == 2


async def _listed(reply, wanted):
    """Read until exactly these sessions are in the list."""
    seen = set()
    while seen != wanted:
        response = dashboard_pb2.WatchSessionsResponse.FromString(await reply.message())
        seen = set() if response.reset else seen
        seen |= {each.session_id for each in response.sessions}
        seen -= set(response.removed_session_ids)
    return seen


async def test_the_end_gives_every_stream_a_trailer(monitor, open_gateway, dashboard, tools):
    """When the gateway ends, endless streams end with UNAVAILABLE, in time and in order."""
    session_id = await monitor.session()
    async with contextlib.AsyncExitStack() as stack:
        gateway = Gateway(listen("127.0.0.1", 0), "127.0.0.1", monitor.address, static=dashboard)
        await stack.enter_async_context(gateway)
        await tools.soon(gateway.upstream.wait_until(up=True))
        browser = tools.Browser(*gateway.address)
        stack.callback(browser.close)
        replies = [await browser.watch(session_id) for _ in range(5)]
        replies.append(await browser.call("WatchSessions"))
        for reply in replies:
            assert await reply.message() is not None
        closing = asyncio.create_task(gateway.__aexit__(None, None, None))
        for reply in replies:
            await reply.messages()
            status, words = reply.outcome
            assert status is Status.UNAVAILABLE
            assert "shutting down" in words
        await tools.soon(closing)


async def test_the_end_does_not_wait_for_a_viewer_that_does_not_read(monitor, dashboard, tools):
    """A viewer whose connection is full is cut off after the deadline."""
    session_id = await monitor.session()
    gateway = Gateway(listen("127.0.0.1", 0), "127.0.0.1", monitor.address, static=dashboard)
    async with gateway:
        await tools.soon(gateway.upstream.wait_until(up=True))
        browser = tools.Browser(*gateway.address)
        stalled = await browser.watch(session_id, frames_per_second=60)
        await stalled.event("snapshot")
        for step in range(60):
            monitor.picture(session_id, step, size=1_000_000)
            await asyncio.sleep(0.002)
    assert gateway._calls.calls == 0
    browser.close()


@pytest.mark.parametrize("parts", [[b""], [b"GET / HT"], [b"GET / HTTP/1.1\r\n", b"host: a"]])
async def test_a_request_whose_head_never_ends_is_cut_off(browser, tools, monkeypatch, parts):
    """A connection that says nothing, or trickles, is no longer held after a while."""
    from trainmon_gateway import server

    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.1)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.2)
    reader, writer = await browser.connect()
    for part in parts:
        writer.write(part)
        await writer.drain()
    with contextlib.suppress(ConnectionResetError):
        assert await tools.soon(reader.read()) == b""
    writer.close()


async def test_a_connection_in_use_is_not_cut_off(monitor, browser, monkeypatch):
    """The clock of a request's head stands still while the request is answered."""
    from trainmon_gateway import server

    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.05)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.05)
    stream = await browser.watch(await monitor.session())
    for _ in range(3):  # one a second
        await stream.event("keep_alive")
