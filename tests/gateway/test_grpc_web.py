"""The adapter on sonora: one test for each fault of sonora's own request and response path."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from typing import Any

import pytest
from grpclib.const import Status

from trainmon_gateway import grpc_web
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import frame
from trainmon_gateway.grpc_web import GrpcWebServer, handlers_of

LIMIT = 1000
BODY = b"\0\0\0\0\x02hi"


class Wire:
    """An ASGI server's end of one request: what comes in is fed, what goes out is kept."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.sending = asyncio.Event()
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.sends_cancelled = 0
        self.taken = asyncio.Event()

    def feed(self, *chunks: bytes, more: bool = False) -> Wire:
        for number, chunk in enumerate(chunks):
            more_body = more or number < len(chunks) - 1
            event = {"type": "http.request", "body": chunk, "more_body": more_body}
            self.incoming.put_nowait(event)
        return self

    def disconnect(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        event = await self.incoming.get()
        if self.incoming.empty():
            self.taken.set()
        return event

    async def send(self, event: dict[str, Any]) -> None:
        self.sending.set()
        try:
            await self.may_send.wait()
        except asyncio.CancelledError:
            self.sends_cancelled += 1
            raise
        self.sent.append(event)

    @property
    def body(self) -> bytes:
        assert [each["type"] for each in self.sent].count("http.response.start") == 1
        assert self.sent[-1]["more_body"] is False
        return b"".join(each["body"] for each in self.sent[1:])

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        body, found = self.body, []
        while body:
            flags, length = struct.unpack_from(">BI", body)
            found.append((flags, body[5 : 5 + length]))
            body = body[5 + length :]
        return found

    @property
    def messages(self) -> list[bytes]:
        return [data for flags, data in self.frames if not flags]

    @property
    def trailer(self) -> str:
        flags, data = self.frames[-1]
        assert flags == 0x80, "the last frame is no trailer"
        return data.decode("ascii")


def scope(path: str = "/s/Unary", **headers: str) -> dict[str, Any]:
    """Return the scope of a call."""
    given = {"host": "h", "content-type": "application/grpc-web+proto", **headers}
    fields = [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": fields}


class Service:
    """Handlers that show one behaviour each."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.release = asyncio.Event()

    def server(self) -> GrpcWebServer:
        unary = {name: getattr(self, name.lower()) for name in ("Unary", "Raises", "Waits")}
        names = ("Empty", "Three", "Fails", "Aborts", "Idle", "SetsCode", "Raises2")
        streams = {name: getattr(self, name.lower()) for name in names}
        server = GrpcWebServer(LIMIT, Counter())
        server.add_generic_rpc_handlers([handlers_of("s", unary, streams)])
        return server

    async def unary(self, request, context):
        return b"<" + request + b">"

    async def raises(self, request, context):
        raise ZeroDivisionError("secret")

    async def waits(self, request, context):
        self.started.set()
        try:
            await self.release.wait()
        finally:
            self.ended.set()
        return b"late"

    async def empty(self, request, context):
        for nothing in ():
            yield nothing

    async def three(self, request, context):
        for number in range(3):
            yield b"%d" % number

    async def fails(self, request, context):
        yield b"first"
        raise CallError(Status.DATA_LOSS, "50 % gone: ä\r\nx")

    async def aborts(self, request, context):
        yield b"first"
        await context.abort(Status.ABORTED, "enough")

    async def setscode(self, request, context):
        yield b"first"
        context.set_code(Status.OUT_OF_RANGE)
        context.set_details("beyond")

    async def raises2(self, request, context):
        yield b"first"
        raise ZeroDivisionError("secret")

    async def idle(self, request, context):
        try:
            yield frame(b"first")
            self.started.set()
            await self.release.wait()
            yield frame(b"second")
        finally:
            self.ended.set()


@pytest.fixture
def service() -> Service:
    """Return handlers that tell how far they are."""
    return Service()


async def answer(server: Any, path: str, wire: Wire | None = None, **headers: str) -> Wire:
    """Run one call to its end; return its wire."""
    wire = wire or Wire().feed(BODY)
    await asyncio.wait_for(server(scope(path, **headers), wire.receive, wire.send), 10)
    return wire


async def test_a_unary_answer_has_readable_trailers(service):
    """Unary trailers are lines of name and value, not Python's writing of bytes."""
    wire = await answer(service.server(), "/s/Unary")
    assert wire.messages == [b"<hi>"]
    assert wire.trailer == "grpc-status: 0\r\n"


async def test_a_unary_answer_announces_its_length(service):
    """Content-Length counts message and trailer."""
    wire = await answer(service.server(), "/s/Unary")
    assert dict(wire.sent[0]["headers"])[b"content-length"] == b"%d" % len(wire.body)


async def test_a_large_unary_answer_is_whole(service):
    """A message too large to be copied behind its trailer arrives whole."""
    service.unary = lambda request, context: asyncio.sleep(0, bytes(100_000))
    wire = await answer(service.server(), "/s/Unary")
    assert wire.messages == [bytes(100_000)]
    assert dict(wire.sent[0]["headers"])[b"content-length"] == b"%d" % len(wire.body)


async def test_an_empty_stream_is_answered(service):
    """A stream that yields nothing ends with a start and a trailer."""
    wire = await answer(service.server(), "/s/Empty")
    assert wire.messages == []
    assert wire.trailer == "grpc-status: 0\r\n"


async def test_a_stream_brings_every_message_and_one_trailer(service):
    """The messages of a stream arrive in order, each once, before one trailer."""
    wire = await answer(service.server(), "/s/Three")
    assert wire.messages == [b"0", b"1", b"2"]
    assert wire.trailer == "grpc-status: 0\r\n"


@pytest.mark.parametrize(
    ("path", "trailer"),
    [
        ("/s/Fails", "grpc-status: 15\r\ngrpc-message: 50 %25 gone: %C3%A4%0D%0Ax\r\n"),
        ("/s/Aborts", "grpc-status: 10\r\ngrpc-message: enough\r\n"),
        ("/s/SetsCode", "grpc-status: 11\r\ngrpc-message: beyond\r\n"),
    ],
)
async def test_an_error_after_the_first_message_sends_a_trailer(service, path, trailer):
    """A stream that fails late ends with one start, its message, and a percent-encoded trailer."""
    wire = await answer(service.server(), path)
    assert wire.messages == [b"first"]
    assert wire.trailer == trailer


@pytest.mark.parametrize("path", ["/s/Raises", "/s/Raises2"])
async def test_an_exception_is_a_trailer_that_tells_no_secrets(service, path, caplog):
    """What a handler raises unexpectedly is logged and counted, and told by its type alone."""
    wire = await answer(service.server(), path)
    assert wire.trailer.startswith("grpc-status: 13\r\n")
    assert "ZeroDivisionError" in wire.trailer
    assert "secret" not in wire.trailer
    assert "secret" in caplog.text


async def test_an_idle_streams_viewer_is_noticed_when_it_leaves(service):
    """A handler that waits for its next message is ended at once when its viewer disconnects."""
    wire = Wire().feed(BODY)
    task = asyncio.create_task(answer(service.server(), "/s/Idle", wire))
    await asyncio.wait_for(service.started.wait(), 10)
    wire.disconnect()
    await asyncio.wait_for(service.ended.wait(), 10)
    await task
    assert not any(each.get("more_body") is False for each in wire.sent)


async def test_a_unary_viewer_that_leaves_ends_its_handler(service):
    """A unary handler whose viewer has gone is cancelled, and nothing is sent."""
    wire = Wire().feed(BODY)
    task = asyncio.create_task(answer(service.server(), "/s/Waits", wire))
    await asyncio.wait_for(service.started.wait(), 10)
    wire.disconnect()
    await asyncio.wait_for(service.ended.wait(), 10)
    await task
    assert wire.sent == []


async def test_what_comes_in_while_a_message_is_sent_cuts_no_send_short(service):
    """An incoming event that is no disconnect leaves a send that is under way alone."""
    wire = Wire().feed(BODY)
    wire.may_send.clear()
    task = asyncio.create_task(answer(service.server(), "/s/Three", wire))
    await asyncio.wait_for(wire.sending.wait(), 10)
    wire.taken.clear()
    wire.feed(b"", more=True)
    await asyncio.wait_for(wire.taken.wait(), 10)
    wire.may_send.set()
    await task
    assert wire.sends_cancelled == 0
    assert wire.messages == [b"0", b"1", b"2"]


async def test_the_end_of_the_gateway_cuts_no_send_short(service):
    """A stream that is ended while it sends finishes that message, then says why it ends."""
    server, wire = service.server(), Wire().feed(BODY)
    wire.may_send.clear()
    task = asyncio.create_task(answer(server, "/s/Three", wire))
    await asyncio.wait_for(wire.sending.wait(), 10)
    server.end_calls(CallError(Status.UNAVAILABLE, "closing"))
    wire.may_send.set()
    await task
    assert wire.sends_cancelled == 0
    assert wire.messages == [b"0"]
    assert wire.trailer == "grpc-status: 14\r\ngrpc-message: closing\r\n"


async def test_the_end_of_the_gateway_ends_what_waits_and_what_comes_later(service):
    """An idle stream gets a trailer when the gateway ends, and a new call at once."""
    server, wire = service.server(), Wire().feed(BODY)
    task = asyncio.create_task(answer(server, "/s/Idle", wire))
    await asyncio.wait_for(service.started.wait(), 10)
    server.end_calls(CallError(Status.UNAVAILABLE, "closing"))
    await task
    assert wire.messages == [b"first"]
    assert wire.trailer.startswith("grpc-status: 14\r\n")
    later = await answer(server, "/s/Unary")
    assert later.trailer.startswith("grpc-status: 14\r\n")
    assert server.calls == 0


@pytest.mark.parametrize(("path", "messages"), [("/s/Idle", [b"first"]), ("/s/Waits", [])])
async def test_the_time_granted_is_kept(service, path, messages):
    """grpc-timeout ends a call with DEADLINE_EXCEEDED, in a trailer, and its handler with it."""
    wire = await answer(service.server(), path, grpc_timeout="50m")
    assert wire.messages == messages
    assert wire.trailer.startswith("grpc-status: 4\r\n")
    assert service.ended.is_set()


@pytest.mark.parametrize("value", ["", "5", "m", "-1S", "123456789S", "1x", "0x1S", "١S"])
async def test_a_malformed_timeout_is_refused(service, value):
    """A grpc-timeout that is none is the client's mistake."""
    wire = await answer(service.server(), "/s/Unary", grpc_timeout=value)
    assert wire.trailer.startswith("grpc-status: 3\r\n")


async def test_a_body_over_the_limit_is_refused_by_its_announced_length(service):
    """Content-Length over the limit is refused before any of the body is read."""
    wire = Wire()
    wire = await answer(service.server(), "/s/Unary", wire, content_length="5000")
    assert wire.trailer.startswith("grpc-status: 8\r\n")
    assert "5000" in wire.trailer
    assert "1000" in wire.trailer


async def test_a_body_over_the_limit_is_refused_by_its_prefix(service):
    """A message announced over the limit is refused with its first five bytes."""
    wire = Wire().feed(b"\0" + struct.pack(">I", LIMIT + 1), more=True)
    wire = await answer(service.server(), "/s/Unary", wire)
    assert wire.trailer.startswith("grpc-status: 8\r\n")


async def test_a_message_of_the_limit_is_taken(service):
    """The limit itself is allowed."""
    wire = Wire().feed(frame(bytes(LIMIT)))
    wire = await answer(service.server(), "/s/Unary", wire, content_length=str(LIMIT + 5))
    assert wire.messages == [b"<" + bytes(LIMIT) + b">"]


@pytest.mark.parametrize("size", [1, 2, 5, 6])
async def test_a_request_in_pieces_is_put_together(service, size):
    """The message is found however the body is cut, also within its prefix."""
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    wire = await answer(service.server(), "/s/Unary", Wire().feed(*pieces))
    assert wire.messages == [b"<hi>"]


@pytest.mark.parametrize("chunks", [[BODY + BODY], [BODY, BODY], [BODY + b"\0"]])
async def test_several_messages_in_a_request_are_refused(service, chunks):
    """A method that takes one message refuses more, in one chunk or in several."""
    wire = await answer(service.server(), "/s/Unary", Wire().feed(*chunks))
    assert wire.trailer.startswith("grpc-status: 12\r\n")


async def test_a_request_without_a_message_is_refused(service):
    """A body without a message is no empty message."""
    wire = await answer(service.server(), "/s/Unary", Wire().feed(b""))
    assert wire.trailer.startswith("grpc-status: 12\r\n")


async def test_an_empty_message_is_taken(service):
    """A message of no bytes is a message."""
    wire = await answer(service.server(), "/s/Unary", Wire().feed(b"\0\0\0\0\0"))
    assert wire.messages == [b"<>"]


@pytest.mark.parametrize("body", [BODY[:3], BODY[:6]])
async def test_a_request_cut_short_is_refused(service, body):
    """A body that ends within a message is the client's mistake."""
    wire = await answer(service.server(), "/s/Unary", Wire().feed(body))
    assert wire.trailer.startswith("grpc-status: 3\r\n")


@pytest.mark.parametrize(("flags", "status"), [(1, 12), (0x80, 3), (0x81, 12), (2, 3)])
async def test_flags_of_a_request_are_refused(service, flags, status):
    """A compressed message is unimplemented; any other flag is no request's."""
    wire = await answer(service.server(), "/s/Unary", Wire().feed(bytes([flags]) + BODY[1:]))
    assert wire.trailer.startswith(f"grpc-status: {status}\r\n")


async def test_a_viewer_that_leaves_while_it_sends_its_request_is_no_error(service):
    """A disconnect within the body ends the call without an exception and without an answer."""
    wire = Wire().feed(BODY[:4], more=True)
    wire.disconnect()
    await answer(service.server(), "/s/Unary", wire)
    assert wire.sent == []


async def test_a_request_that_does_not_arrive_is_given_up(service, monkeypatch):
    """A body that stops arriving ends the call with DEADLINE_EXCEEDED."""
    monkeypatch.setattr(grpc_web, "BODY_TIMEOUT_S", 0.05)
    wire = await answer(service.server(), "/s/Unary", Wire().feed(BODY[:4], more=True))
    assert wire.trailer.startswith("grpc-status: 4\r\n")


async def test_an_unknown_method_is_answered_in_the_protocol(service):
    """An unknown path gets a gRPC status, not a bare HTTP error."""
    wire = await answer(service.server(), "/s/Nope")
    assert wire.trailer.startswith("grpc-status: 12\r\n")


async def test_a_send_to_a_viewer_that_has_gone_is_no_error(service):
    """A server that raises OSError for a viewer that has gone ends the call quietly."""

    async def send(_event: Any) -> None:
        raise ConnectionResetError

    wire = Wire().feed(BODY)
    await asyncio.wait_for(service.server()(scope("/s/Three"), wire.receive, send), 10)


async def test_a_cancelled_call_ends_its_handler(service):
    """When the server cancels a call, its handler ends and nothing is left running."""
    wire = Wire().feed(BODY)
    task = asyncio.create_task(answer(service.server(), "/s/Idle", wire))
    await asyncio.wait_for(service.started.wait(), 10)
    task.cancel()
    await asyncio.wait({task})
    assert service.ended.is_set()
    assert task.cancelled()


async def test_the_response_type_is_fixed(service):
    """The response has our type and no CORS header, whatever the request accepts."""
    wire = await answer(service.server(), "/s/Unary", accept="text/html", origin="http://x")
    headers = dict(wire.sent[0]["headers"])
    assert headers[b"content-type"] == b"application/grpc-web+proto"
    assert not [name for name in headers if name.startswith(b"access-control")]
