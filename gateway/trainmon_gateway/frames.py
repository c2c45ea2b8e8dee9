"""gRPC-Web frames: a flag byte, a length of four bytes, the message; trailers are a frame too.

The frame of a message is the same in gRPC and gRPC-Web, and the same for every viewer, so it is
made once and its bytes are shared.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from urllib.parse import quote

from grpclib.const import Status

from trainmon.fields import LENGTH_DELIMITED, varint
from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from trainmon_gateway.errors import CallError

__all__ = [
    "JOIN_BYTES",
    "PREFIX",
    "Frame",
    "RequestParser",
    "frame",
    "join",
    "moved",
    "parse_timeout",
    "trailers",
]

#: Flags, and the length of what follows in bytes.
PREFIX = struct.Struct(">BI")
_COMPRESSED = 0x01
_TRAILERS = 0x80
_CURSOR_TAG = WatchSessionResponse.CURSOR_FIELD_NUMBER << 3 | LENGTH_DELIMITED

#: Longest grpc-message sent, in characters before encoding.
_MESSAGE_CHARACTERS = 2000
#: What the gRPC specification leaves unescaped: printable ASCII but the percent sign.
_UNESCAPED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

#: Frames are written together up to this size, in bytes; above it a copy costs more than a write.
JOIN_BYTES = 32 << 10

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Frame(bytes):
    """One or several whole frames, ready to be written."""

    _chunk: bytes | None = None
    cursor: bytes = b""
    """Where a viewer resumes after it; empty where that is not known or it is several."""

    def chunk(self) -> bytes:
        """Return it as one chunk of an HTTP/1.1 body; of a large one it is made once for all."""
        if self._chunk is not None:
            return self._chunk
        chunk = b"%x\r\n%b\r\n" % (len(self), self)
        if len(self) > JOIN_BYTES:
            self._chunk = chunk
        return chunk


def frame(message: bytes, cursor: bytes = b"") -> Frame:
    """Return a message in its frame.

    Args:
        message: Serialised.
        cursor: What it says of where a viewer resumes.
    """
    made = Frame(b"".join((PREFIX.pack(0, len(message)), message)))
    if cursor:
        made.cursor = cursor
    return made


def moved(framed: Frame, cursor: bytes) -> Frame:
    """Return the frame of a WatchSessionResponse with another cursor.

    Of a field that comes twice the last counts.
    """
    field = varint(_CURSOR_TAG) + varint(len(cursor)) + cursor
    return frame(b"".join((memoryview(framed)[PREFIX.size :], field)))


def join(frames: Iterable[bytes]) -> Frame:
    """Return several frames as one piece."""
    return Frame(b"".join(frames))


def trailers(status: Status, message: str = "") -> Frame:
    """Return the frame that ends every response, with the status and a message for people."""
    lines = f"grpc-status: {status.value}\r\n"
    if message:
        lines += f"grpc-message: {encode_message(message)}\r\n"
    body = lines.encode("ascii")
    return Frame(PREFIX.pack(_TRAILERS, len(body)) + body)


def encode_message(message: str) -> str:
    """Return a message as grpc-message carries it: percent-encoded UTF-8."""
    return quote(message[:_MESSAGE_CHARACTERS], safe=_UNESCAPED, errors="replace").strip()


def parse_timeout(value: bytes) -> float:
    """Return the seconds that a grpc-timeout header grants.

    Raises:
        CallError: INVALID_ARGUMENT; it is not up to 8 digits and a unit.
    """
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise CallError(
            Status.INVALID_ARGUMENT,
            f"grpc-timeout is {value!r}, but should be up to 8 digits and one of H M S m u n",
        )
    return int(match[1]) * _SECONDS[match[2]]


class RequestParser:
    """Takes the one message of a request from chunks of any size, holding no more than the limit.

    Args:
        limit: Greatest message taken, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._length: int | None = None

    def check_announced(self, content_length: bytes | None) -> None:
        """Refuse a body over the limit by its Content-Length, before any of it is read."""
        if content_length is None:
            return
        if not content_length.isdigit():
            raise CallError(Status.INVALID_ARGUMENT, "Content-Length is no number: mend the client")
        # One number of more than 18 digits exceeds every limit; int() would refuse far longer ones.
        announced = int(content_length[:19])
        if announced > self._limit + PREFIX.size:
            raise self._too_large(announced)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            CallError: RESOURCE_EXHAUSTED, the message is over the limit; UNIMPLEMENTED, it is
                compressed or there is more than one; INVALID_ARGUMENT, it is no gRPC-Web.
        """
        self._buffer += chunk
        if self._length is None and len(self._buffer) >= PREFIX.size:
            self._length = self._parse_prefix()
        if self._length is not None and len(self._buffer) > PREFIX.size + self._length:
            raise CallError(Status.UNIMPLEMENTED, "this method takes one request message, not more")

    def finish(self) -> bytes:
        """Return the message, the body having ended.

        Raises:
            CallError: UNIMPLEMENTED, there is no message; INVALID_ARGUMENT, it is cut short.
        """
        if not self._buffer:
            raise CallError(Status.UNIMPLEMENTED, "this method takes one request message, not none")
        if self._length is None or len(self._buffer) < PREFIX.size + self._length:
            raise CallError(
                Status.INVALID_ARGUMENT, "the body ended within a message: the client cut it short"
            )
        return bytes(memoryview(self._buffer)[PREFIX.size :])

    def _parse_prefix(self) -> int:
        flags, length = PREFIX.unpack_from(self._buffer)
        if flags & _COMPRESSED:
            raise CallError(
                Status.UNIMPLEMENTED,
                "the request is compressed, which this gateway does not take: send it plain",
            )
        if flags:
            raise CallError(
                Status.INVALID_ARGUMENT, f"a request frame has flags {flags:#x}, but should have 0"
            )
        if length > self._limit:
            raise self._too_large(length)
        return int(length)

    def _too_large(self, size: int) -> CallError:
        return CallError(
            Status.RESOURCE_EXHAUSTED,
            f"the request announces {size} bytes, the limit is {self._limit} bytes: send a smaller "
            "one, or raise TRAINMON_MAX_MESSAGE_BYTES at the gateway",
        )
