"""A gRPC connection that knows when bytes last came, and a watch that notices when none do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from grpclib.client import Channel, Stream
from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase
from grpclib.protocol import H2Protocol

from trainmon.fields import LENGTH_DELIMITED, varint
from trainmon.http2 import send_message
from trainmon.sealing import Seal, checksum, seal
from trainmon.v1.telemetry_pb2 import TelemetryRequest

__all__ = ["SealingCodec", "SilenceError", "WatchedChannel", "send_picture"]

#: With windows of 4 MiB, heartbeats ran 8 s late on a link of 0.5 MB/s.
_WINDOW_BYTES = 256 << 10
#: A longer time between two looks was this process standing still, not the monitor.
_MAX_TICK_S = 1.0


class SilenceError(ConnectionError):
    """Nothing came from the monitor for the heartbeat timeout."""


class SealingCodec(CodecBase):
    """grpclib's codec for one peer, whose messages and ours have checksums."""

    __content_subtype__ = "proto"

    def __init__(self) -> None:
        self._seal = Seal()

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's signature
        """Return a message as it is sent."""
        return seal(message.SerializeToString())

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Return the message in ``data``.

        Raises:
            BrokenSealError: It was changed on its way.
            DecodeError: It is none.
        """
        message = message_type()
        self._seal.parse(message, data)
        return message


async def send_picture(
    stream: Stream[TelemetryRequest, Any], request: TelemetryRequest, picture: bytes
) -> None:
    """Send a request with a serialised BatchData as its payload: nearly all of it is that.

    Written behind the request's other fields it is the same message, and copied once; grpclib, h2
    and a request that holds it copy it ten times.
    """
    tag = TelemetryRequest.BATCH_DATA_FIELD_NUMBER << 3 | LENGTH_DELIMITED
    head = request.SerializeToString() + varint(tag) + varint(len(picture))
    with stream._wrapper:  # noqa: SLF001 - as send_message does: it ends what waits with the stream
        await send_message(stream._stream, head, picture, checksum(head, picture))  # noqa: SLF001


class _WatchedProtocol(H2Protocol):
    """Counts everything that arrives: window updates and pings prove life, too."""

    received = 0
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


class WatchedChannel(Channel):
    """One connection to the monitor.

    Args:
        host: Where it listens.
        port: Likewise.
        codec: Knows whether the monitor sends checksums.
    """

    def __init__(self, host: str, port: int, codec: SealingCodec) -> None:
        windows = Configuration(
            http2_connection_window_size=_WINDOW_BYTES, http2_stream_window_size=_WINDOW_BYTES
        )
        super().__init__(host, port, codec=codec, config=windows)

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        return _WatchedProtocol(protocol.handler, protocol.config, protocol.h2_config)

    def close(self) -> None:
        """Close at once: what a monitor that hangs has not read would keep the socket for ever."""
        transport = getattr(self._protocol, "transport", None)
        super().close()
        if transport is not None:
            transport.abort()

    @property
    def received(self) -> int:
        """Bytes received so far."""
        return getattr(self._protocol, "received", 0)

    async def watch(self, timeout_s: float) -> None:
        """Wait until nothing has come for ``timeout_s``.

        Raises:
            SilenceError: Always, in the end.
        """
        tick_s = min(_MAX_TICK_S, timeout_s / 10)
        silent_s, received, before_s = 0.0, self.received, time.monotonic()
        while silent_s < timeout_s:
            await asyncio.sleep(tick_s)
            now_s = time.monotonic()
            silent_s += min(now_s - before_s, _MAX_TICK_S)
            before_s = now_s
            if self.received != received:
                silent_s, received = 0.0, self.received
        raise SilenceError(f"nothing came from the monitor for {timeout_s:g} s")
