"""A gRPC client that costs next to nothing, so that the server is what is measured.

One connection, one stream of one call. What is sent was serialised and framed before; of what
arrives the messages are counted, and handed on where they are small. Windows and frame sizes are
those of our own clients: what is measured is what they would cause.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass

from hpack import Encoder

__all__ = ["Call", "Counts", "framed"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME, _HEAD = struct.Struct(">HBBBL"), 9
_SETTING, _UINT = struct.Struct(">HL"), struct.Struct(">L")
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 4, 5
_STREAM = 1
_DEFAULT_WINDOW, _DEFAULT_FRAME = 65_535, 16_384
#: Messages beyond this are pictures, and only counted.
SMALL = 8192
_BUFFER_BYTES = 1 << 20


def _frame(kind: int, flags: int, stream: int, body: bytes | memoryview) -> bytes:
    head = _FRAME.pack(len(body) >> 8, len(body) & 0xFF, kind, flags, stream)
    return b"".join((head, body))


def framed(message: bytes) -> bytes:
    """Return a message as gRPC frames it."""
    return struct.pack(">BL", 0, len(message)) + message


@dataclass
class Counts:
    """What has arrived on one stream."""

    small: int = 0
    large: int = 0
    message_bytes: int = 0


class Call(asyncio.BufferedProtocol):
    """One call: sends what it is given, counts what arrives.

    Args:
        path: Of the method.
        window: What the server may send unread, in bytes.
        on_small: Gets each small message.
    """

    def __init__(self, path: str, window: int, on_small: Callable[[bytes], None]) -> None:
        self.counts = Counts()
        self.failure = ""
        self.ready = asyncio.Event()
        self._path, self._window, self._on_small = path, window, on_small
        self._send_window = self._connection_window = _DEFAULT_WINDOW
        self._frame_bytes = _DEFAULT_FRAME
        self._unsent = memoryview(b"")
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._head = bytearray()
        self._body = bytearray()
        self._kind = self._flags = self._stream = self._left = 0
        self._prefix = bytearray()
        self._message_left, self._message = 0, bytearray()
        self._is_small = False
        self._unread = 0
        self._writable = True
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the call."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        settings = _SETTING.pack(_INITIAL_WINDOW_SIZE, self._window)
        settings += _SETTING.pack(_MAX_FRAME_SIZE, self._window)
        headers = Encoder().encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", self._path),
                (":authority", "benchmark"),
                ("te", "trailers"),
                ("content-type", "application/grpc+proto"),
            ]
        )
        more = _UINT.pack(self._window - _DEFAULT_WINDOW)
        transport.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, more)
            + _frame(_HEADERS, _END_HEADERS, _STREAM, headers)
        )

    def send(self, data: bytes) -> bool:
        """Send a framed message; False where one before it is not sent yet, or nobody reads."""
        if self._unsent or not self._writable or self.transport is None:
            return False
        self._unsent = memoryview(data)
        self._send_on()
        return True

    def end(self) -> None:
        """Send nothing more."""
        assert self.transport is not None
        self.transport.write(_frame(_DATA, _END_STREAM, _STREAM, b""))

    def _send_on(self) -> None:
        assert self.transport is not None
        while self._unsent:
            size = min(self._send_window, self._connection_window, self._frame_bytes)
            if size <= 0:
                return
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._send_window -= len(part)
            self._connection_window -= len(part)
            self.transport.write(_frame(_DATA, 0, _STREAM, part))

    def pause_writing(self) -> None:
        """Take note that the server does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """Take note that it reads again."""
        self._writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self.failure = self.failure or f"the connection ended ({exc})"
        self.ready.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has arrived."""
        data = self._buffer[:nbytes]
        while data:
            if not self._left:
                data = self._take_head(data)
                continue
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            if self._kind == _DATA:
                self._take_data(part)
            else:
                self._body += part
            if not self._left:
                self._frame_ended()

    def _take_head(self, data: memoryview) -> memoryview:
        want = _HEAD - len(self._head)
        self._head += data[:want]
        if len(self._head) == _HEAD:
            high, low, self._kind, self._flags, self._stream = _FRAME.unpack(self._head)
            self._left = high << 8 | low
            self._head.clear()
            if not self._left:
                self._frame_ended()
        return data[want:]

    def _frame_ended(self) -> None:
        body, self._body = bytes(self._body), bytearray()
        assert self.transport is not None
        if self._kind == _SETTINGS and not self._flags & _ACK:
            for number, value in _SETTING.iter_unpack(body):
                if number == _INITIAL_WINDOW_SIZE:
                    self._send_window += value - _DEFAULT_WINDOW
                elif number == _MAX_FRAME_SIZE:
                    self._frame_bytes = value
            self.transport.write(_frame(_SETTINGS, _ACK, 0, b""))
            self.ready.set()
        elif self._kind == _WINDOW_UPDATE:
            self._add_room(*_UINT.unpack(body))
        elif self._kind == _PING and not self._flags & _ACK:
            self.transport.write(_frame(_PING, _ACK, 0, body))
        elif self._kind == _GOAWAY:
            self.failure = "the server said goodbye"
        elif self._kind == _HEADERS and self._flags & _END_STREAM:
            self.failure = f"the server ended the stream: {body!r}"

    def _add_room(self, more: int) -> None:
        if self._stream:
            self._send_window += more
        else:
            self._connection_window += more
        self._send_on()

    def _take_data(self, part: memoryview) -> None:
        self._unread += len(part)
        if self._unread > self._window // 4 and self.transport is not None:
            more = _UINT.pack(self._unread)
            self._unread = 0
            self.transport.write(
                _frame(_WINDOW_UPDATE, 0, 0, more) + _frame(_WINDOW_UPDATE, 0, _STREAM, more)
            )
        while part:
            if not self._message_left:
                want = 5 - len(self._prefix)
                self._prefix += part[:want]
                part = part[want:]
                if len(self._prefix) == 5:
                    self._message_left = int.from_bytes(self._prefix[1:], "big")
                    self._prefix.clear()
                    self._begin()
                continue
            if self._is_small:
                self._message += part[: self._message_left]
            taken = min(len(part), self._message_left)
            part = part[taken:]
            self._message_left -= taken
            if not self._message_left:
                self._end()

    def _begin(self) -> None:
        self._is_small = self._message_left <= SMALL
        self.counts.message_bytes += self._message_left
        if not self._message_left:
            self._end()

    def _end(self) -> None:
        if self._is_small:
            self.counts.small += 1
            message, self._message = bytes(self._message), bytearray()
            self._on_small(message)
        else:
            self.counts.large += 1
