"""gRPC-Web over ASGI: the only module that knows sonora.

Of sonora's server class the registry of handlers is used. Its request and response path is
replaced, since it answers unary calls with trailers nobody can read, drops the trailer of streams
that are empty or fail, notices a viewer's leaving only at the next message, can cancel a send
half-way, and takes requests of any size.

A handler gets the request's bytes and a :class:`CallContext`. It returns the response's bytes, or
as an async iterator yields messages as bytes or ready-made :class:`~trainmon_gateway.frames.Frame`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import grpc
from grpclib.const import Status
from sonora.asgi import grpcASGI

from trainmon.tasks import within
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import (
    JOIN_BYTES,
    Frame,
    RequestParser,
    frame,
    join,
    parse_timeout,
    trailers,
)
from trainmon_gateway.http import Event, Receive, Scope, Send, header
from trainmon_gateway.security import GRPC_HEADERS

__all__ = ["CallContext", "GrpcWebServer", "StreamHandler", "UnaryHandler", "handlers_of"]

_log = logging.getLogger(__name__)

#: How long a request's body may take to arrive, in seconds.
BODY_TIMEOUT_S = 10.0

UnaryHandler = Callable[[bytes, "CallContext"], Awaitable[bytes]]
StreamHandler = Callable[[bytes, "CallContext"], Any]


class CallContext:
    """What a handler knows of its call, and how it ends it other than by returning.

    Args:
        timeout: Seconds the viewer grants; None for no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        self._status = Status.OK
        self._details = ""

    def time_remaining(self) -> float | None:
        """Return the seconds left; None for no limit."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def set_code(self, status: Status) -> None:
        """Set the status the call ends with when the handler returns."""
        self._status = Status(status)

    def set_details(self, details: str) -> None:
        """Set the message that goes with the status."""
        self._details = details

    async def abort(self, status: Status, details: str) -> None:
        """End the call now, before or after the first message. Raises CallError."""
        raise CallError(Status(status), details)

    @property
    def outcome(self) -> tuple[Status, str]:
        """Status and message to end with."""
        return self._status, self._details


def handlers_of(
    service: str,
    unary: Mapping[str, UnaryHandler],
    streams: Mapping[str, StreamHandler],
) -> Any:
    """Return handlers of a service for :meth:`GrpcWebServer.add_generic_rpc_handlers`.

    Args:
        service: Full name, ``trainmon.v1.DashboardService``.
        unary: Handlers by method name, one response each.
        streams: Handlers by method name, a stream of responses each.
    """
    methods = {name: grpc.unary_unary_rpc_method_handler(each) for name, each in unary.items()}
    methods |= {name: grpc.unary_stream_rpc_method_handler(each) for name, each in streams.items()}
    return grpc.method_handlers_generic_handler(service, methods)


class GrpcWebServer(grpcASGI):  # type: ignore[misc]  # sonora has no types
    """ASGI application that answers gRPC-Web calls. What may call it is the caller's to check.

    Args:
        limit: Greatest request message taken, in bytes.
        counts: Where refusals and failures are counted.
    """

    def __init__(self, limit: int, counts: Counter[str]) -> None:
        super().__init__(application=None, enable_cors=False)
        self._limit = limit
        self._counts = counts
        self._calls: set[_Call] = set()
        self._closing: CallError | None = None

    @property
    def calls(self) -> int:
        """How many calls are in flight."""
        return len(self._calls)

    def end_calls(self, error: CallError) -> None:
        """End every call in flight with this error, and each that comes later at once."""
        self._closing = error
        for call in list(self._calls):
            call.stop(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        response = _Response(send)
        try:
            context = CallContext(_timeout(scope))
            method = self._get_rpc_handler(scope["path"])
            if method is None:
                raise CallError(Status.UNIMPLEMENTED, f"there is no method {scope['path']}")
            if self._closing is not None:
                raise self._closing
            request = await self._read_request(scope, receive, context)
        except CallError as error:
            self._counts[f"refused_{error.status.name.lower()}"] += 1
            await response.end(error.status, error.message)
        except _ViewerGoneError:
            self._counts["left_while_sending_request"] += 1
        else:
            await self._run(_Call(method, request, context, response, self._counts), receive)

    async def _read_request(self, scope: Scope, receive: Receive, context: CallContext) -> bytes:
        parser = RequestParser(self._limit)
        parser.check_announced(header(scope, b"content-length"))
        granted = context.time_remaining()
        timeout = BODY_TIMEOUT_S if granted is None else min(granted, BODY_TIMEOUT_S)
        try:
            return await within(timeout, _read_body(receive, parser))
        except asyncio.TimeoutError:
            raise CallError(
                Status.DEADLINE_EXCEEDED, f"the request did not arrive within {timeout:g} s"
            ) from None

    async def _run(self, call: _Call, receive: Receive) -> None:
        """Race the handler against the viewer's leaving, its deadline, and our own end."""
        task = call.start()
        watcher = asyncio.create_task(_until_gone(receive), name="trainmon-viewer-watch")
        self._calls.add(call)
        try:
            await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._counts["left_before_the_end"] += 1
                call.abandon()
                await asyncio.wait({task})
        finally:
            self._calls.discard(call)
            await call.close()
            watcher.cancel()
            await asyncio.wait({watcher})


class _ViewerGoneError(Exception):
    """The viewer disconnected: there is nobody to answer."""


class _Response:
    """Writes one response: a start, message frames, and always exactly one trailer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._ended = False

    async def write(self, body: bytes) -> None:
        """Send frames, after the start where that has not been sent."""
        if not self._started:
            await self._start(())
        await self._put({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, status: Status, message: str = "", body: bytes = b"") -> None:
        """Send the trailer, with the last or only message before it."""
        if self._ended:
            return
        self._ended = True
        trailer = trailers(status, message)
        if not self._started:
            await self._start([(b"content-length", b"%d" % (len(body) + len(trailer)))])
        if len(body) > JOIN_BYTES:
            await self.write(body)
        else:
            trailer = join((body, trailer))
        await self._put({"type": "http.response.body", "body": trailer, "more_body": False})

    async def _start(self, more: Iterable[tuple[bytes, bytes]]) -> None:
        self._started = True
        headers = [*GRPC_HEADERS, *more]
        await self._put({"type": "http.response.start", "status": 200, "headers": headers})

    async def _put(self, event: Event) -> None:
        try:
            await self._send(event)
        except OSError as error:  # how some servers say that the viewer has gone
            raise _ViewerGoneError from error


class _Call:
    """One call in flight.

    It is stopped by cancelling its task only while it waits for its handler: a send is never cut
    short, unless there is nobody left to send to.
    """

    def __init__(
        self,
        method: Any,
        request: bytes,
        context: CallContext,
        response: _Response,
        counts: Counter[str],
    ) -> None:
        self._method = method
        self._request = request
        self._context = context
        self._response = response
        self._counts = counts
        self._error: CallError | None = None
        self._gone = False
        self._interruptible = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> asyncio.Task[None]:
        """Start the handler, and the clock of its deadline."""
        remaining = self._context.time_remaining()
        if remaining is not None:
            error = CallError(Status.DEADLINE_EXCEEDED, "the time the viewer granted has passed")
            self._timer = asyncio.get_running_loop().call_later(remaining, self.stop, error)
        self._task = asyncio.create_task(self._run(), name="trainmon-call")
        return self._task

    def stop(self, error: CallError) -> None:
        """End with this error as soon as no send is under way."""
        if self._error is None:
            self._error = error
            if self._interruptible and self._task is not None:
                self._interruptible = False
                self._task.cancel()

    def abandon(self) -> None:
        """End without a word: the viewer has gone."""
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Wait for the end, enforcing it where it has not come."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and not self._task.done():
            self._gone = True
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            status, message, body = await self._handle()
            if not self._gone:
                await self._response.end(status, message, body)
        except asyncio.CancelledError:
            if not self._gone:
                raise
        except _ViewerGoneError:
            self._counts["left_before_the_end"] += 1

    async def _handle(self) -> tuple[Status, str, bytes]:
        """Run the handler; return the status, message and body to end with."""
        body = b""
        try:
            if self._error is None:
                if self._method.response_streaming:
                    await self._stream()
                else:
                    body = await self._unary()
            error = self._error
        except asyncio.CancelledError:
            if self._error is None or self._gone:
                raise
            error = self._error
        except _ViewerGoneError:
            raise
        except CallError as raised:
            error = self._error or raised
        except Exception as raised:  # noqa: BLE001 - the door of the handlers: a trailer must be sent
            error = self._failed(raised)
        finally:
            self._interruptible = False
        if error is not None:
            return error.status, error.message, b""
        return (*self._context.outcome, body)

    async def _unary(self) -> bytes:
        self._interruptible = True
        message = await self._method.unary_unary(self._request, self._context)
        return frame(message)

    async def _stream(self) -> None:
        messages = self._method.unary_stream(self._request, self._context)
        try:
            self._interruptible = True
            async for message in messages:
                self._interruptible = False
                framed = message if isinstance(message, Frame) else frame(message)
                await self._response.write(framed)
                if self._error is not None:
                    break
                self._interruptible = True
        finally:
            self._interruptible = False
            await messages.aclose()

    def _failed(self, raised: Exception) -> CallError:
        self._counts["handler_failures"] += 1
        _log.error("a handler of the gateway failed", exc_info=raised)
        return CallError(
            Status.INTERNAL, f"the gateway failed ({type(raised).__name__}): its log says where"
        )


def _timeout(scope: Scope) -> float | None:
    value = header(scope, b"grpc-timeout")
    return None if value is None else parse_timeout(value)


async def _read_body(receive: Receive, parser: RequestParser) -> bytes:
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _ViewerGoneError
        parser.feed(event.get("body", b""))
        if not event.get("more_body", False):
            return parser.finish()


async def _until_gone(receive: Receive) -> None:
    with suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass
