"""gRPC framing: the only module that knows grpclib's internals.

grpclib reads a message of any length into memory, counts the bytes of a stream where nobody asks,
and closes a server without closing its connections. What is missing is added here.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import h2.exceptions
from google.protobuf.message import DecodeError, Message
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import encode_grpc_message
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as H2Stream
from grpclib.server import Server, Stream
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from trainmon.errors import TrainmonError
from trainmon.http2 import PassingProtocol, send_message, spare_frame_reprs
from trainmon.sealing import BrokenSealError, Seal

if TYPE_CHECKING:
    from grpclib._typing import IServable

spare_frame_reprs()

__all__ = [
    "ClosingServer",
    "MessageTooLargeError",
    "PeerGoneError",
    "bytes_received",
    "finish",
    "peer_of",
    "receive",
    "receive_request",
    "sender_of",
]

#: What a peer may send on one stream before it is read, in bytes. With 4 MiB, heartbeats queue
#: behind pictures: 8 s late on a link of 0.5 MB/s.
STREAM_WINDOW_BYTES = 256 << 10
#: The same for all streams of a connection together.
CONNECTION_WINDOW_BYTES = 4 << 20
#: Frames as large as the window: each frame costs h2 as much as copying 50 KB.
FRAME_BYTES = STREAM_WINDOW_BYTES
#: Streams a peer may have open on one connection. With h2's 100 the calls of a gateway with more
#: viewers would wait in its client, silently.
CONNECTION_STREAMS = 4096

#: How long a peer may take to notice that its stream has ended, in seconds.
RESET_AFTER_S = 2.0
_RESPONSE_HEADERS = ((":status", "200"), ("content-type", "application/grpc+proto"))

_PREFIX = struct.Struct(">?I")
_PREFACE_BYTES = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_Request = TypeVar("_Request", bound=Message)


class MessageTooLargeError(TrainmonError):
    """A peer announced a message over the limit; none of it was read.

    Args:
        length: What the prefix announced, in bytes.
        limit: What is taken, in bytes.
    """

    def __init__(self, length: int, limit: int) -> None:
        self.length = length
        self.limit = limit
        super().__init__(
            f"a message of {length} bytes was announced, the limit is {limit} bytes: the sender "
            "must send smaller pictures or fewer of them, or TRAINMON_MAX_MESSAGE_BYTES be raised"
        )


class PeerGoneError(TrainmonError):
    """The peer closed its stream or connection while something was sent to it."""


class _BytesCodec(CodecBase):
    """Takes messages that are bytes already: an event is serialised once for all viewers."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's signature
        """Return bytes untouched and messages serialised."""
        return message if isinstance(message, bytes) else message.SerializeToString()

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Return the message in ``data``."""
        return message_type.FromString(data)


async def receive(stream: Stream[Any, Any], limit: int) -> bytes | None:
    """Return the next message of a stream, undecoded; None where the peer has ended it.

    Raises:
        MessageTooLargeError: The prefix announces more than ``limit`` bytes; nothing was buffered.
        PeerGoneError: The stream ended within a message.
        GRPCError: The message is compressed, which was not negotiated.
    """
    source = stream._stream  # noqa: SLF001 - the public recv_message has no limit
    try:
        prefix = await source.recv_data(_PREFIX.size)
        if not prefix:
            return None
        compressed, length = _PREFIX.unpack(prefix)
        if compressed:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported")
        if length > limit:
            raise MessageTooLargeError(length, limit)
        data = await source.recv_data(length)
    except AssertionError as error:  # how grpclib says that the stream ended too early
        raise PeerGoneError("the stream ended within a message") from error
    if len(data) != length:
        raise PeerGoneError("the stream ended within a message")
    return data


async def receive_request(
    stream: Stream[Any, Any], kind: Callable[[], _Request], limit: int
) -> _Request:
    """Return the one request of a unary call.

    Args:
        stream: The call.
        kind: The message class.
        limit: Greatest message taken, in bytes.

    Raises:
        GRPCError: There is none, it is over the limit (RESOURCE_EXHAUSTED), it was changed on its
            way (DATA_LOSS), or it cannot be decoded (INVALID_ARGUMENT).
    """
    request = kind()
    try:
        data = await receive(stream, limit)
        if data is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "the call ended without a request")
        Seal().parse(request, data)
    except MessageTooLargeError as error:
        raise GRPCError(Status.RESOURCE_EXHAUSTED, str(error)) from None
    except BrokenSealError as error:
        raise GRPCError(Status.DATA_LOSS, str(error)) from None
    except (DecodeError, PeerGoneError):
        name = request.DESCRIPTOR.full_name
        raise GRPCError(
            Status.INVALID_ARGUMENT, f"the request cannot be decoded as {name}: mend the client"
        ) from None
    return request


def sender_of(stream: Stream[Any, Any]) -> Callable[[bytes], Awaitable[None]]:
    """Return what sends serialised messages; it raises PeerGoneError where nobody listens."""

    async def send(data: bytes) -> None:
        try:
            if not stream._send_initial_metadata_done:  # noqa: SLF001 - as send_message does
                await stream.send_initial_metadata()
            await send_message(stream._stream, data)  # noqa: SLF001 - the public way is slower
        except (h2.exceptions.ProtocolError, StreamTerminatedError, OSError) as error:
            raise PeerGoneError(str(error) or type(error).__name__) from error

    return send


def finish(stream: Stream[Any, Any], status: Status, reason: str) -> None:
    """End an endless stream with a status, so that the peer can read what was sent before.

    grpclib resets a stream right behind a status that is not OK. A grpclib client then drops what
    it has received and not read, the ErrorResponse that tells why. So the reset comes later, and
    only for a peer that goes on sending. Never waits: a peer that reads nothing, not even its
    connection, costs these few bytes in the transport's buffer.
    """
    source = stream._stream  # noqa: SLF001 - the public way resets at once
    headers = [] if stream._send_initial_metadata_done else list(_RESPONSE_HEADERS)  # noqa: SLF001
    headers.append(("grpc-status", str(status.value)))
    if reason:
        headers.append(("grpc-message", encode_grpc_message(reason)))
    if source.id is not None and source.closable:  # else the peer is gone
        connection = source._h2_connection  # noqa: SLF001 - as above
        connection.send_headers(source.id, headers, end_stream=True)
        source._transport.write(connection.data_to_send())  # noqa: SLF001 - as above
    stream._send_trailing_metadata_done = True  # noqa: SLF001 - nothing is left for grpclib to do
    asyncio.get_running_loop().call_later(RESET_AFTER_S, _reset, source)


def _reset(source: H2Stream) -> None:
    if source.closable:
        with suppress(h2.exceptions.ProtocolError):
            source.reset_nowait()


def bytes_received(stream: Stream[Any, Any]) -> int:
    """Return how many bytes of a stream have arrived, half a message included: proof of life."""
    return stream._stream.data_received  # noqa: SLF001 - grpclib counts, but does not tell


def peer_of(stream: Stream[Any, Any]) -> str:
    """Return the peer's address for messages; empty where it is unknown."""
    address = stream.peer.addr()
    return f"{address[0]}:{address[1]}" if address else ""


class _Protocol(PassingProtocol):
    """One connection; announces large frames and room for many streams."""

    preface_bytes = _PREFACE_BYTES

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        h2_connection = self.connection._connection  # noqa: SLF001 - grpclib has no setting for it
        h2_connection.update_settings(
            {
                SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
                SettingCodes.MAX_CONCURRENT_STREAMS: CONNECTION_STREAMS,
            }
        )
        # h2 looks at its limit once for each chunk it is fed, so a large frame in the chunk that
        # acknowledges the settings, such as a first registration, would end the connection.
        h2_connection.max_inbound_frame_size = FRAME_BYTES
        self.connection.flush()

    def end(self) -> None:
        """Say goodbye and close, with whatever is in flight."""
        if self.connection.is_closing():
            return
        with suppress(h2.exceptions.ProtocolError):  # the peer may have said goodbye already
            h2_connection = self.connection._connection  # noqa: SLF001 - as above
            h2_connection.close_connection(ErrorCodes.NO_ERROR)
            self.connection.flush()
        self.processor.close("the monitor is shutting down")


class ClosingServer(Server):
    """grpclib's server with our codec, windows and frames, and a close that ends connections."""

    def __init__(self, handlers: Collection[IServable]) -> None:
        config = Configuration(
            http2_connection_window_size=CONNECTION_WINDOW_BYTES,
            http2_stream_window_size=STREAM_WINDOW_BYTES,
        )
        super().__init__(handlers, codec=_BytesCodec(), config=config)
        self._connections: list[_Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        made = super()._protocol_factory()
        protocol = _Protocol(made.handler, made.config, made.h2_config)
        self._connections = [each for each in self._connections if not _closed(each)]
        self._connections.append(protocol)
        return protocol

    def addresses(self) -> list[tuple[str, int]]:
        """Return where the server listens: host and port."""
        sockets = getattr(self._server, "sockets", ())
        return [each.getsockname()[:2] for each in sockets]

    def stop_listening(self) -> None:
        """Take no more connections; those there are go on."""
        if self._server is not None:
            self._server.close()

    def close_connections(self) -> None:
        """Close every connection, whatever is in flight on it."""
        for protocol in self._connections:
            if hasattr(protocol, "connection"):
                protocol.end()
        self._connections.clear()


def _closed(protocol: _Protocol) -> bool:
    return hasattr(protocol, "connection") and protocol.connection.is_closing()
