"""The gateway as a whole: a socket, uvicorn on it, and what answers there."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from grpclib.const import Status
from uvicorn.protocols.http.h11_impl import H11Protocol

from trainmon.config import Settings
from trainmon_gateway.app import App
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import Frame
from trainmon_gateway.grpc_web import GrpcWebServer
from trainmon_gateway.health import Health
from trainmon_gateway.security import Policy
from trainmon_gateway.service import DashboardService
from trainmon_gateway.static_files import STATIC, StaticFiles
from trainmon_gateway.upstream import Upstream

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Gateway", "listen"]

#: What the kernel may hold unsent for one viewer, in bytes. A frame of pictures fits.
SEND_BUFFER_BYTES = 256 << 10
#: A viewer that takes nothing for so long is cut off, in ms.
USER_TIMEOUT_MS = 30_000
#: How long an idle connection is kept for a browser's next call, in seconds.
KEEP_ALIVE_S = 75
#: How long the head of a request may take to arrive, in seconds.
HEAD_TIMEOUT_S = 10.0
#: Greatest head of a request, in bytes.
HEAD_BYTES = 64 << 10
#: How long viewers' streams may take to end, in seconds.
CLOSE_TIMEOUT_S = 2.0
#: Greatest answer taken from the monitor, in bytes: the greatest it gives, and some room.
ANSWER_BYTES = (64 << 20) + (1 << 16)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket whose connections hold little unsent.

    Args:
        host: Address or name.
        port: 0 for a free one.

    Raises:
        OSError: The port is in use, or the host is none of this machine's.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        sock.bind(address)
        sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class _SharedChunks(h11.Connection):
    """h11's connection, but that a picture becomes a chunk once, not once for each viewer."""

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # its overloads
        parts = self.send_with_data_passthrough(event)
        if parts is None:
            return None
        # Only in a chunked body does anything stand before and behind it.
        if len(parts) > 1 and isinstance(event, h11.Data) and isinstance(event.data, Frame):
            return event.data.chunk()
        return b"".join(parts)


class _Connection(H11Protocol):
    """Uvicorn's connection, cut off where the head of a request trickles in or never comes.

    Uvicorn's own clock runs only from the end of a response to the next byte.
    """

    _clock: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _SharedChunks(h11.SERVER, HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # A browser may open a connection before it has a use for it.
        self._clock = self.loop.call_later(KEEP_ALIVE_S, transport.abort)
        self._in_head = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waits = self.conn.their_state is h11.IDLE
        if waits and self._in_head:
            return
        self._stop_clock()
        self._in_head = waits
        if waits:
            self._clock = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_clock()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


class _Server(uvicorn.Server):
    """Uvicorn without its handling of signals, which would end the process by the signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.is_up.set()


class Gateway:
    """Serves the dashboard of one monitor. An async context manager; it answers once entered.

    Args:
        sock: Listening socket, from :func:`listen`; closed at the end.
        host: The host it was asked for.
        monitor: Host and port of the monitor, which need not be there yet.
        settings: Limits.
        allow_hosts: Further names by which viewers may address the gateway.
        static: Folder of the built dashboard.

    Raises:
        ConfigurationError: A host name cannot be used.
    """

    def __init__(
        self,
        sock: socket.socket,
        host: str,
        monitor: tuple[str, int],
        settings: Settings | None = None,
        *,
        allow_hosts: Iterable[str] = (),
        static: Path = STATIC,
    ) -> None:
        settings = settings or Settings.from_environment()
        limit = settings.max_message_bytes
        counts: Counter[str] = Counter()
        self._sock = sock
        self._stack = AsyncExitStack()
        self.upstream = Upstream(*monitor, limit=ANSWER_BYTES)
        self._service = DashboardService(self.upstream, settings)
        self._calls = GrpcWebServer(limit, counts)
        self._calls.add_generic_rpc_handlers([self._service.handlers()])
        health = Health(self.upstream, counts, self._service.numbers)
        policy = Policy(host, allow_hosts)
        app = App(policy, self._calls, health, StaticFiles(static), counts)
        self._server = _Server(_configuration(app))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port = self._sock.getsockname()[:2]
        return str(host), int(port)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.upstream)
        self._stack.push_async_callback(self._service.close)
        serving = asyncio.create_task(self._server.serve([self._sock]), name="trainmon-gateway")
        self._stack.push_async_callback(self._stop, serving)
        up = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait({serving, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _stop(self, serving: asyncio.Task[None]) -> None:
        """End the streams with a trailer each, then the connections, within a deadline."""
        self._calls.end_calls(
            CallError(Status.UNAVAILABLE, "the gateway is shutting down: try again when it is back")
        )
        self._server.should_exit = True
        await asyncio.wait({serving})
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


def _configuration(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(CLOSE_TIMEOUT_S),
    )
