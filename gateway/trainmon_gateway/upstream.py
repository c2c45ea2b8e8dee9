"""The gateway's link to the monitor: calls and streams as bytes, over grpclib.

Nothing is parsed here: requests and responses are bytes. Unary calls share one connection and each
stream has its own, so that a stream which is read slowly holds up nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, cast

import h2.exceptions
from grpclib.client import Channel, Handler, Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.settings import SettingCodes

from trainmon.http2 import PassingProtocol, spare_frame_reprs
from trainmon.tasks import Tasks, within
from trainmon_gateway.errors import CallError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SERVICE", "Upstream"]

_log = logging.getLogger(__name__)
spare_frame_reprs()

SERVICE = "trainmon.v1.DashboardService"

#: What the monitor may send on a stream before it is read, in bytes: a few pictures.
WINDOW_BYTES = 1 << 20
#: Each frame costs h2 as much as copying 50 KB, so they may be as large as a picture.
FRAME_BYTES = WINDOW_BYTES
#: How long a connection may take to open, in seconds.
CONNECT_TIMEOUT_S = 2.0
#: A monitor that leaves a ping unanswered for so long is gone, in seconds.
PING_TIMEOUT_S = 5.0
#: How long the first and the longest pause between attempts to connect is, in seconds.
BACKOFF_S = (0.1, 2.0)

_PREFIX = struct.Struct(">?I")
_CONFIGURATION = Configuration(
    _keepalive_time=1.0,
    _keepalive_timeout=PING_TIMEOUT_S,
    _keepalive_permit_without_calls=True,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=0.5,
    http2_connection_window_size=WINDOW_BYTES,
    http2_stream_window_size=WINDOW_BYTES,
)
_LOST = (StreamTerminatedError, ProtocolError, h2.exceptions.ProtocolError, OSError)


class _BytesCodec(CodecBase):
    """Leaves messages as the bytes they are."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's signature
        """Return the bytes given."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's signature
        """Return the bytes given."""
        return data


class _Protocol(PassingProtocol):
    """One connection: takes large frames, and tells when it is lost."""

    lost: asyncio.Event

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # grpclib has no setting for the frame size.
        h2_connection = self.connection._connection  # noqa: SLF001 - see above
        h2_connection.update_settings({SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES})
        # h2 looks at its limit once for each chunk it is fed: a large frame in the chunk that
        # acknowledges the settings, such as a first snapshot, would end the connection.
        h2_connection.max_inbound_frame_size = FRAME_BYTES
        self.connection.flush()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


class _Channel(Channel):
    """A connection to the monitor that carries bytes."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, codec=_BytesCodec(), config=_CONFIGURATION)

    def _protocol_factory(self) -> H2Protocol:
        protocol = _Protocol(Handler(), self._config, self._h2_config)
        protocol.lost = asyncio.Event()
        return protocol

    async def connect(self) -> _Protocol:
        """Open the connection; raises OSError where nobody answers in time."""
        try:
            protocol = await within(CONNECT_TIMEOUT_S, self.__connect__())
        except asyncio.TimeoutError:
            raise OSError(f"no answer within {CONNECT_TIMEOUT_S:g} s") from None
        return cast("_Protocol", protocol)


class Upstream:
    """The monitor as the gateway sees it. An async context manager.

    While the monitor is away, calls fail at once with UNAVAILABLE and connecting is tried again
    and again, after pauses that grow and vary.

    Args:
        host: Where the monitor listens.
        port: Its port.
        limit: Greatest response taken, in bytes.
        on_up: Called each time the monitor begins to answer.
    """

    def __init__(
        self, host: str, port: int, *, limit: int, on_up: Callable[[], None] | None = None
    ) -> None:
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host, self._port, self._limit = host, port, limit
        self._on_up = on_up or (lambda: None)
        self._unary: _Channel | None = None
        self._down_because = "not connected yet"
        self._told_down = False
        self._tasks = Tasks()
        self._random = random.Random()  # noqa: S311 - spreads attempts, keeps no secret
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks.start(self._keep_connected(), "trainmon-upstream")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()

    @property
    def is_up(self) -> bool:
        """Whether the connection to the monitor stands."""
        return self._unary is not None

    @property
    def down_because(self) -> str:
        """Why it does not."""
        return self._down_because

    async def wait_until(self, *, up: bool) -> None:
        """Wait until the connection stands, or no longer does."""
        while self.is_up is not up:
            self._changed.clear()
            await self._changed.wait()

    async def call(self, method: str, request: bytes, timeout: float) -> bytes:
        """Return the response to a unary call.

        Args:
            method: Name within the service.
            request: Serialised request.
            timeout: Seconds after which the call ends with DEADLINE_EXCEEDED.

        Raises:
            CallError: As the monitor ended it; UNAVAILABLE where the monitor is away.
        """
        channel = self._require_up()
        try:
            async with channel.request(
                f"/{SERVICE}/{method}", Cardinality.UNARY_UNARY, bytes, bytes, timeout=timeout
            ) as stream:
                await stream.send_message(request, end=True)
                response = await self._receive(stream)
                await stream.recv_trailing_metadata()
        except (GRPCError, asyncio.TimeoutError, *_LOST) as error:
            raise self._translated(error, timeout) from error
        if response is None:
            raise CallError(Status.INTERNAL, f"the monitor answered {method} with no message")
        return response

    async def stream(self, method: str, request: bytes) -> AsyncGenerator[bytes, None]:
        """Yield the responses of a server stream; close the iterator to leave it early.

        Raises:
            CallError: As the monitor ended it; UNAVAILABLE where the monitor is away.
        """
        self._require_up()
        channel = _Channel(self._host, self._port)
        try:
            await channel.connect()
            async with channel.request(
                f"/{SERVICE}/{method}", Cardinality.UNARY_STREAM, bytes, bytes
            ) as stream:
                await stream.send_message(request, end=True)
                while (message := await self._receive(stream)) is not None:
                    yield message
                await stream.recv_trailing_metadata()
        except (GRPCError, *_LOST) as error:
            raise self._translated(error) from error
        finally:
            channel.close()

    async def _receive(self, stream: Stream[bytes, bytes]) -> bytes | None:
        """Return the next message; refuse one over the limit by its prefix, before it is read."""
        if stream.initial_metadata is None:
            await stream.recv_initial_metadata()
        # The public recv_message takes messages of any size.
        with stream._wrapper:  # noqa: SLF001 - see above
            source = stream._stream  # noqa: SLF001 - see above
            try:
                prefix = await source.recv_data(_PREFIX.size)
                if not prefix:
                    return None
                compressed, length = _PREFIX.unpack(prefix)
                if compressed:
                    raise CallError(Status.INTERNAL, "the monitor sent a compressed message")
                if length > self._limit:
                    raise CallError(Status.RESOURCE_EXHAUSTED, self._too_large(length))
                return await source.recv_data(length)
            except AssertionError as error:  # how grpclib says that the stream ended too early
                raise StreamTerminatedError("the stream ended within a message") from error

    def _too_large(self, length: int) -> str:
        return (
            f"the monitor's answer has {length} bytes, the limit is {self._limit} bytes: ask for "
            "less, as with max_points of QueryMetrics"
        )

    def _require_up(self) -> _Channel:
        if self._unary is None:
            raise CallError(
                Status.UNAVAILABLE,
                f"no monitor answers at {self.address} ({self._down_because}): start it with "
                "`trainmon serve`; the gateway connects by itself",
            )
        return self._unary

    def _translated(self, error: BaseException, timeout: float = 0.0) -> CallError:
        if isinstance(error, GRPCError):
            return CallError(error.status, error.message or "")
        if isinstance(error, asyncio.TimeoutError) and timeout:
            return CallError(
                Status.DEADLINE_EXCEEDED,
                f"the monitor at {self.address} did not answer within {timeout:g} s",
            )
        return CallError(
            Status.UNAVAILABLE,
            f"the link to the monitor at {self.address} was lost ({_told(error)}); the gateway "
            "connects again by itself: try again, streams from their last cursor",
        )

    async def _keep_connected(self) -> None:
        pause = BACKOFF_S[0]
        while True:
            channel = _Channel(self._host, self._port)
            try:
                protocol = await channel.connect()
                self._set_up(channel)
                pause = BACKOFF_S[0]
                await protocol.lost.wait()
                self._set_down("the connection was lost")
            except OSError as error:
                self._set_down(_told(error))
            finally:
                self._unary = None
                channel.close()
            # Half of the pause is certain, half is chance: many gateways shall not march in step.
            await asyncio.sleep(pause * (0.5 + self._random.random() / 2))
            pause = min(pause * 2, BACKOFF_S[1])

    def _set_up(self, channel: _Channel) -> None:
        self._unary, self._told_down = channel, False
        self._changed.set()
        _log.info("connected to the monitor at %s", self.address)
        self._on_up()

    def _set_down(self, reason: str) -> None:
        if not self._told_down:
            _log.warning("no monitor at %s (%s): connecting goes on", self.address, reason)
        self._unary, self._down_because, self._told_down = None, reason, True
        self._changed.set()


def _told(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__
