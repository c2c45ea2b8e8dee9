"""Remedies for the HTTP/2 libraries, for every process of ours that pictures pass through by gRPC.

h2 reads each frame into objects and copies its body four times on the way in and four on the way
out. What we carry is nearly all the bodies of DATA frames, and of these nothing needs to be known
but stream and length. So they pass h2 by, which keeps the windows; every other frame, and every
DATA frame with anything odd about it, is h2's as ever.
"""

from __future__ import annotations

import struct
import time
from typing import Any

from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as H2Stream
from h2.connection import ConnectionState
from h2.stream import StreamState
from hyperframe.frame import DataFrame

__all__ = ["BURST_BYTES", "PassingProtocol", "send_data", "send_message", "spare_frame_reprs"]

#: What is written for one stream before others get their turn, in bytes.
BURST_BYTES = 256 << 10

_PREFIX = struct.Struct(">?I")
_HEAD = struct.Struct(">HBBBL")
_DATA = 0
_STREAM_IDS = 0x7FFFFFFF
_OPEN = frozenset({ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN})
_RECEIVING = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL})


def spare_frame_reprs() -> None:
    """Keep h2 from writing every received byte as hexadecimal digits that nobody reads.

    h2 builds ``repr(frame)`` of each frame it receives, for a log that is off, and hyperframe
    turns the whole body into hexadecimal before it cuts it to 20 digits: a fifth of the CPU of a
    monitor that takes in pictures. Afterwards a data frame's repr tells its length. Process-wide.
    """
    DataFrame._body_repr = _length_only  # type: ignore[assignment]  # noqa: SLF001 - see above


def _length_only(frame: DataFrame) -> str:
    return f"<{len(frame.data)} bytes>"


class PassingProtocol(H2Protocol):
    """A connection on which the bodies of plain DATA frames pass h2 by on their way in.

    Plain is one without padding that does not end its stream, on a stream that may receive, within
    the windows and the frame size; it is handed to its stream as it arrives, in parts.
    """

    #: Bytes before the first frame: those by which a client begins.
    preface_bytes = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._head = b""
        self._h2_left = self.preface_bytes
        self._body_left = self._stream_id = 0

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, in order; nothing behind what ends the connection."""
        rest = memoryview(self._head + data if self._head else data)
        self._head = b""
        while rest and not self.connection.is_closing():
            if self._body_left:
                part, rest = rest[: self._body_left], rest[self._body_left :]
                self._body_left -= len(part)
                self._pass(part)
                continue
            size, begins = self._size_for_h2(rest)
            if size:
                super().data_received(bytes(rest[:size]))
            rest = rest[size + _HEAD.size :] if begins else rest[size:]
            if not begins and rest:  # the head of a frame, cut short
                self._head = bytes(rest)
                return

    def _size_for_h2(self, data: memoryview) -> tuple[int, bool]:
        """Return how many bytes are h2's, and whether a plain body begins behind them."""
        position = 0
        while True:
            position += self._h2_left
            if position >= len(data):
                self._h2_left = position - len(data)
                return len(data), False
            self._h2_left = 0
            if len(data) - position < _HEAD.size:
                return position, False
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, position)
            length = high << 8 | low
            if kind == _DATA and not flags and self._is_plain(stream_id & _STREAM_IDS, length):
                self._body_left, self._stream_id = length, stream_id & _STREAM_IDS
                return position, True
            self._h2_left = _HEAD.size + length

    def _is_plain(self, stream_id: int, length: int) -> bool:
        connection = self.connection._connection  # noqa: SLF001 - grpclib hides h2
        stream = connection.streams.get(stream_id)
        if stream is None or stream_id not in self.processor.streams:
            return False
        windows = (
            connection._inbound_flow_control_window_manager,  # noqa: SLF001 - h2 does not tell
            stream._inbound_window_manager,  # noqa: SLF001 - as above
        )
        machine = stream.state_machine
        is_plain = (
            0 < length <= min(connection.max_inbound_frame_size, *_sizes(windows))
            and connection.state_machine.state in _OPEN
            and machine.state in _RECEIVING
            and bool(machine.headers_received)
            and stream._expected_content_length is None  # noqa: SLF001 - as above
            and not connection.incoming_buffer._headers_buffer  # noqa: SLF001 - as above
        )
        if is_plain:
            for window in windows:
                window.window_consumed(length)
        return is_plain

    def _pass(self, part: memoryview) -> None:
        """Hand a part of a body to its stream, as grpclib does with h2's event."""
        connection, size = self.connection, len(part)
        if connection.is_closing():
            return
        stream = self.processor.streams.get(self._stream_id)
        if stream is None:  # it has ended meanwhile
            connection.ack(self._stream_id, size)
        else:
            stream.buffer.add(part, size)  # type: ignore[arg-type]  # any buffer will do there
            stream.data_received += size
        connection.data_received += size
        connection.last_data_received = time.monotonic()


def _sizes(windows: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(window.current_window_size for window in windows)


def send_data(stream: H2Stream, *parts: bytes | memoryview) -> None:
    """Write parts of a stream's body, which must fit into its window, past h2.

    Args:
        stream: One that may send and is not ended.
        parts: Written one behind the other, in as few frames as the peer takes.
    """
    connection, frames = stream.connection, stream._h2_connection  # noqa: SLF001 - grpclib hides h2
    connection.flush()  # what h2 has to say was said before
    number = stream.id or 0
    left, room = sum(map(len, parts)), 0
    frames.outbound_flow_control_window -= left
    frames.streams[number].outbound_flow_control_window -= left
    out: list[bytes | memoryview] = []
    for part in parts:
        rest = memoryview(part)
        while rest:
            if not room:
                room = min(left, frames.max_outbound_frame_size)
                out.append(_HEAD.pack(room >> 8, room & 0xFF, _DATA, 0, number))
            piece, rest = rest[:room], rest[room:]
            out.append(piece)
            room -= len(piece)
            left -= len(piece)
    # Not writelines: in CPython 3.12.1 and 3.13.0 it fills memory without end for a peer that does
    # not read, as it never pauses; and where it could save this copy it is the slower of the two.
    stream._transport.write(b"".join(out))  # noqa: SLF001 - as above


async def send_message(stream: H2Stream, *parts: bytes) -> None:
    """Send a message with one write for as much as fits, where grpclib writes each frame.

    Args:
        stream: One whose headers were sent.
        parts: Of the serialised message, in order.

    Raises:
        StreamTerminatedError: The stream was never opened, or the peer has closed it.
    """
    if stream.id is None:
        raise StreamTerminatedError("the stream was never opened")
    connection, frames = stream.connection, stream._h2_connection  # noqa: SLF001 - as above
    prefix = _PREFIX.pack(False, sum(map(len, parts)))
    left = [memoryview(part) for part in (prefix, *parts)]
    while left:
        await connection.write_ready.wait()
        if not stream.closable:
            raise StreamTerminatedError("the peer has closed the stream")
        room = min(frames.local_flow_control_window(stream.id), BURST_BYTES)
        if room <= 0:
            stream.window_updated.clear()
            await stream.window_updated.wait()
            continue
        burst = []
        while left and room:
            burst.append(left[0][:room])
            room -= len(burst[-1])
            left[0] = left[0][len(burst[-1]) :]
            if not left[0]:
                del left[0]
        send_data(stream, *burst)
