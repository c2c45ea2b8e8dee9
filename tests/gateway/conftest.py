"""A real monitor, a scripted one for what a real one cannot be made to do, a gateway, viewers."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h11
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from trainmon.config import Settings
from trainmon.monitor.server import MonitorServer
from trainmon.monitor.wire_events import EventField
from trainmon.v1 import dashboard_pb2, telemetry_pb2
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.dashboard_grpc import DashboardServiceBase
from trainmon_gateway.server import Gateway, listen

#: How long anything may take that should come at once, in seconds.
SOON_S = 15.0
PREFIX = struct.Struct(">BI")
SERVICE = "/trainmon.v1.DashboardService/"
CONTENT_TYPE = "application/grpc-web+proto"


async def soon(awaitable: Awaitable[Any]) -> Any:
    """Return what comes, or fail where it does not come soon."""
    return await asyncio.wait_for(awaitable, SOON_S)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that other tasks bring about."""
    deadline = asyncio.get_running_loop().time() + SOON_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came about"
        await asyncio.sleep(0.002)  # the poll of a bounded wait


# --- viewers --------------------------------------------------------------------------------------


class Reply:
    """One HTTP response, read as it comes."""

    def __init__(self, reader: Any, writer: Any, connection: h11.Connection) -> None:
        self._reader, self._writer, self._connection = reader, writer, connection
        self._buffer = bytearray()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}

    async def start(self) -> Reply:
        """Read up to the headers."""
        response = await self._event()
        assert isinstance(response, h11.Response)
        self.status = response.status_code
        self.headers = {name.decode(): value.decode() for name, value in response.headers}
        return self

    async def body(self) -> bytes:
        """Return the rest of the body."""
        while (chunk := await self._chunk()) is not None:
            self._buffer += chunk
        return bytes(self._buffer)

    async def message(self) -> bytes | None:
        """Return the next message; None at the trailer, which is kept."""
        while True:
            if len(self._buffer) >= PREFIX.size:
                flags, length = PREFIX.unpack_from(self._buffer)
                if len(self._buffer) >= PREFIX.size + length:
                    data = bytes(self._buffer[PREFIX.size : PREFIX.size + length])
                    del self._buffer[: PREFIX.size + length]
                    if not flags & 0x80:
                        return data
                    self.trailers = parse_trailers(data)
                    assert await self._chunk() is None, "something follows the trailer"
                    return None
            chunk = await self._chunk()
            assert chunk is not None, "the response ended without a trailer"
            self._buffer += chunk

    async def messages(self) -> list[bytes]:
        """Return every message up to the trailer."""
        found = []
        while (message := await soon(self.message())) is not None:
            found.append(message)
        return found

    async def event(self, *kinds: str) -> dashboard_pb2.WatchSessionResponse:
        """Return the next event of WatchSession, of some kind where given."""
        while True:
            message = await soon(self.message())
            assert message is not None, f"the stream ended: {self.trailers}"
            event = dashboard_pb2.WatchSessionResponse.FromString(message)
            if not kinds or event.WhichOneof("event") in kinds:
                return event

    @property
    def outcome(self) -> tuple[Status, str]:
        """Status and message of the trailer."""
        status = Status(int(self.trailers["grpc-status"]))
        return status, unquote(self.trailers.get("grpc-message", ""))

    def close(self) -> None:
        """Leave, whatever is still to come."""
        self._writer.transport.abort()

    async def _chunk(self) -> bytes | None:
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _event(self) -> Any:
        while (event := self._connection.next_event()) is h11.NEED_DATA:
            self._connection.receive_data(await soon(self._reader.read(1 << 20)))
        return event


def parse_trailers(data: bytes) -> dict[str, str]:
    """Return trailers by name, requiring them to be as gRPC-Web says."""
    lines = data.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def framed(message: bytes, flags: int = 0) -> bytes:
    """Return a message in its gRPC-Web frame."""
    return PREFIX.pack(flags, len(message)) + message


class Browser:
    """Speaks HTTP to one gateway, a connection for each request."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._replies: list[Reply] = []

    async def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        receive_buffer: int | None = None,
    ) -> Reply:
        """Send a request; return once the headers of the response are there."""
        given = {"host": f"{self.host}:{self.port}"}
        if method == "POST":
            given |= {"content-length": str(len(body)), "content-type": CONTENT_TYPE}
        given |= headers or {}
        connection = h11.Connection(h11.CLIENT)
        reader, writer = await self.connect(receive_buffer)
        reply = Reply(reader, writer, connection)
        self._replies.append(reply)
        fields = [(name, value) for name, value in given.items() if value is not None]
        writer.write(
            connection.send(h11.Request(method=method, target=target, headers=fields)) or b""
        )
        if body:
            writer.write(connection.send(h11.Data(data=body)) or b"")
        if int(given.get("content-length", 0)) == len(body):
            writer.write(connection.send(h11.EndOfMessage()) or b"")
        return await soon(reply.start())

    async def connect(self, receive_buffer: int | None = None) -> tuple[Any, Any]:
        """Return a connection, where asked with a small receive buffer."""
        import socket

        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, (self.host, self.port))
        return await asyncio.open_connection(sock=sock, limit=receive_buffer or 1 << 20)

    async def call(self, method: str, message: Any = b"", **headers: str) -> Reply:
        """Call a method of the service; return once the headers of the response are there."""
        data = message if isinstance(message, bytes) else message.SerializeToString()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("POST", SERVICE + method, named, framed(data))

    async def watch(self, session_id: str, **fields: Any) -> Reply:
        """Open WatchSession."""
        request = dashboard_pb2.WatchSessionRequest(session_id=session_id, **fields)
        return await self.call("WatchSession", request)

    def close(self) -> None:
        """Close every connection."""
        for reply in self._replies:
            reply.close()


# --- monitors -------------------------------------------------------------------------------------


class ScriptedMonitor(DashboardServiceBase):
    """Behaves as each session's name says, where a real monitor cannot be made to."""

    def __init__(self) -> None:
        self.open_streams = 0
        self.cancelled = 0
        self.calls: list[str] = []
        self.release = asyncio.Event()
        self.answer: Callable[[Any], Awaitable[None]] | None = None

    async def WatchSession(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        request = await stream.recv_message()
        self.open_streams += 1
        try:
            await self._watch(request.session_id, stream)
        finally:
            self.open_streams -= 1

    async def _watch(self, session_id: str, stream: Any) -> None:
        if session_id == "empty":
            return
        for number in range(2):
            await stream.send_message(
                dashboard_pb2.WatchSessionResponse(
                    cursor=f"s:{number}",
                    **({"keep_alive": {}} if number else {"snapshot": {}}),
                )
            )
        if session_id == "fails":
            raise GRPCError(Status.DATA_LOSS, "50 % of it: späte Störung\nmit Zeilen")
        if session_id == "endless":
            await self.release.wait()

    async def WatchSessions(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await stream.recv_message()
        if self.answer is not None:
            await self.answer(stream)

    async def _unary(self, stream: Any, name: str, response: Any) -> None:
        request = await stream.recv_message()
        self.calls.append(name)
        if getattr(request, "session_id", "") == "hangs":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if getattr(request, "session_id", "") == "refused":
            raise GRPCError(Status.PERMISSION_DENIED, "nicht für dich: 100 %")
        self.calls.append(f"{name} done")
        await stream.send_message(response)

    async def ListSessions(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await self._unary(stream, "ListSessions", dashboard_pb2.ListSessionsResponse())

    async def SendCommand(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await self._unary(stream, "SendCommand", CommandRecord(session_id="x"))

    async def QueryMetrics(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await self._unary(stream, "QueryMetrics", dashboard_pb2.QueryMetricsResponse())

    async def QueryEvents(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await self._unary(stream, "QueryEvents", dashboard_pb2.QueryEventsResponse())

    async def GetBatch(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await self._unary(stream, "GetBatch", dashboard_pb2.GetBatchResponse())

    async def DeleteSession(self, stream: Any) -> None:  # noqa: N802 - the contract's name
        await self._unary(stream, "DeleteSession", dashboard_pb2.DeleteSessionResponse())


class RealMonitor:
    """The real monitor on a real socket, its hub driven by the test as ingest drives it."""

    def __init__(self, server: MonitorServer) -> None:
        self.server = server
        self.backend = server.backend

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.port

    async def session(self, name: str = "digits") -> str:
        """Register a training; return the session's id."""
        request = telemetry_pb2.RegisterTrainingSessionRequest(
            session_name=name, run_key=name, producer_id=name, sends_metric_data=True
        )
        return (await self.backend.register(request)).session_id

    def hub(self, session_id: str) -> Any:
        """Return where what happens in a session is published."""
        return self.backend.registry.sessions[session_id].hub

    def note(self, session_id: str, number: int, size: int = 0) -> None:
        """Publish an event that can be told by its number."""
        status = telemetry_pb2.StatusUpdate(timestamp_ms=number, message="x" * size)
        self.hub(session_id).publish(EventField.STATUS_UPDATE, status.SerializeToString())

    def picture(self, session_id: str, step: int, size: int = 1000) -> None:
        """Publish a picture."""
        image = telemetry_pb2.ImageData(image_bytes=bytes(size), format="jpeg")
        batch = telemetry_pb2.BatchData(global_step=step, images=[image])
        self.hub(session_id).publish_picture(batch.SerializeToString, has_samples=True)


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What is entered here is left at the end of the test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def open_scripted(stack: AsyncExitStack) -> Any:
    """Return a function that starts a scripted monitor: (monitor, (host, port))."""

    async def open_(port: int = 0) -> tuple[ScriptedMonitor, tuple[str, int]]:
        monitor = ScriptedMonitor()
        server = Server([monitor])
        await server.start("127.0.0.1", port)

        async def close() -> None:
            server.close()
            for handler in list(server._handlers):
                handler.close()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 5)

        stack.push_async_callback(close)
        return monitor, server._server.sockets[0].getsockname()[:2]

    return open_


@pytest.fixture
async def open_monitor(stack: AsyncExitStack) -> Any:
    """Return a function that starts a real monitor."""

    async def open_(port: int = 0, **settings: Any) -> RealMonitor:
        server = MonitorServer(Settings.from_environment(**settings), port=port)
        return RealMonitor(await stack.enter_async_context(server))

    return open_


@pytest.fixture
async def monitor(open_monitor: Any) -> RealMonitor:
    """Return a real monitor that runs."""
    return await open_monitor()


@pytest.fixture
def dashboard(tmp_path: Path) -> Path:
    """Return a folder with a small dashboard."""
    folder = tmp_path / "static"
    assets = folder / "_next/static"
    assets.mkdir(parents=True)
    page = "<!doctype html><script>hello()</script><script src='/_next/static/a.js'></script>"
    (folder / "index.html").write_text(page)
    (folder / "404.html").write_text("<p>nothing here")
    (assets / "a.js").write_text("1")
    return folder


@pytest.fixture
async def open_gateway(stack: AsyncExitStack, dashboard: Path) -> Any:
    """Return a function that starts a gateway for a monitor: (gateway, browser)."""

    async def open_(
        monitor: tuple[str, int], *, up: bool = True, allow_hosts: Any = (), **settings: Any
    ) -> tuple[Gateway, Browser]:
        gateway = Gateway(
            listen("127.0.0.1", 0),
            "127.0.0.1",
            monitor,
            Settings.from_environment(**settings),
            allow_hosts=allow_hosts,
            static=dashboard,
        )
        await stack.enter_async_context(gateway)
        browser = Browser(*gateway.address)
        stack.callback(browser.close)
        if up:
            await soon(gateway.upstream.wait_until(up=True))
        return gateway, browser

    return open_


@pytest.fixture
async def browser(monitor: RealMonitor, open_gateway: Any) -> Browser:
    """Return a browser at a gateway of the real monitor."""
    return (await open_gateway(monitor.address))[1]


@pytest.fixture
def tools() -> Any:
    """Return the helpers of this file, which tests cannot import."""
    import types

    return types.SimpleNamespace(soon=soon, until=until, framed=framed, Browser=Browser)
