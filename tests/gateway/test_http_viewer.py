"""A plain HTTP client that speaks gRPC-Web bytes, at a gateway before a real monitor."""

from __future__ import annotations

from grpclib.const import Status

from trainmon.v1 import control_pb2, dashboard_pb2


async def test_a_unary_call_answers_with_its_message_and_ok(monitor, browser):
    """A unary call that succeeds answers with one message and a trailer that says OK."""
    session_id = await monitor.session("digits")
    reply = await browser.call("ListSessions")
    (message,) = await reply.messages()
    listed = dashboard_pb2.ListSessionsResponse.FromString(message)
    assert [each.session_id for each in listed.sessions] == [session_id]
    assert reply.outcome == (Status.OK, "")
    assert reply.status == 200


async def test_a_unary_call_that_fails_answers_with_the_monitors_status_and_words(browser):
    """The monitor's status and message reach the viewer as they were."""
    request = dashboard_pb2.GetBatchRequest(session_id="nobody")
    reply = await browser.call("GetBatch", request)
    assert await reply.messages() == []
    status, words = reply.outcome
    assert status is Status.NOT_FOUND
    assert "nobody" in words


async def test_a_stream_that_ends_well_ends_with_ok(open_scripted, open_gateway):
    """A stream that ends well brings its messages and then a trailer that says OK."""
    _, address = await open_scripted()
    _, browser = await open_gateway(address)
    reply = await browser.watch("short")
    assert len(await reply.messages()) == 2
    assert reply.outcome == (Status.OK, "")


async def test_a_stream_that_fails_later_ends_with_its_status(open_scripted, open_gateway):
    """An error after the first message reaches the viewer in a trailer, in any script."""
    _, address = await open_scripted()
    _, browser = await open_gateway(address)
    reply = await browser.watch("fails")
    assert len(await reply.messages()) == 2
    assert reply.outcome == (Status.DATA_LOSS, "50 % of it: späte Störung\nmit Zeilen")


async def test_an_empty_stream_ends_with_ok(open_scripted, open_gateway):
    """A stream that ends before its first message brings a trailer and nothing else."""
    _, address = await open_scripted()
    _, browser = await open_gateway(address)
    reply = await browser.watch("empty")
    assert await reply.messages() == []
    assert reply.outcome == (Status.OK, "")


async def test_an_unknown_session_ends_the_stream_with_not_found(browser):
    """A stream that fails before its first message brings its status in a trailer."""
    reply = await browser.watch("nobody")
    assert await reply.messages() == []
    assert reply.outcome[0] is Status.NOT_FOUND


async def test_the_response_says_what_it_is_and_forbids_keeping_it(browser):
    """The type of the response is fixed, whatever the viewer accepts, and nothing keeps it."""
    reply = await browser.call("ListSessions", accept="text/html")
    await reply.messages()
    assert reply.headers["content-type"] == "application/grpc-web+proto"
    assert reply.headers["cache-control"] == "no-store, no-transform"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_an_unknown_method_is_unimplemented(browser):
    """A method that does not exist is told by its gRPC status."""
    reply = await browser.call("NoSuchMethod")
    assert await reply.messages() == []
    assert reply.outcome[0] is Status.UNIMPLEMENTED


async def test_a_command_reaches_the_monitor_and_its_record_comes_back(monitor, browser):
    """SendCommand passes through as bytes and answers with the monitor's record."""
    session_id = await monitor.session()
    command = control_pb2.ControlCommand(command_id="c1", pause=control_pb2.Pause())
    request = dashboard_pb2.SendCommandRequest(session_id=session_id, command=command)
    reply = await browser.call("SendCommand", request)
    (message,) = await reply.messages()
    record = control_pb2.CommandRecord.FromString(message)
    assert record.command.command_id == "c1"
    assert record.session_id == session_id


async def test_an_endless_stream_begins_at_once_and_goes_on(monitor, browser):
    """WatchSession brings a snapshot at once and then what happens, as it happens."""
    session_id = await monitor.session()
    reply = await browser.watch(session_id)
    snapshot = await reply.event("snapshot")
    assert snapshot.snapshot.summary.session_id == session_id
    for number in range(5):
        monitor.note(session_id, number)
        assert (await reply.event("status_update")).status_update.timestamp_ms == number
