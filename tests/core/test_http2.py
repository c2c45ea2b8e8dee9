"""Bodies that pass h2 by arrive as they would through it, in bounds, and are copied less."""

from __future__ import annotations

import asyncio
import socket

import pytest
from grpclib.config import Configuration
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import AbstractHandler, H2Protocol
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, StreamReset
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from trainmon.http2 import PassingProtocol, send_data, send_message
from trainmon.relay.connection import send_picture
from trainmon.sealing import Seal
from trainmon.v1.telemetry_pb2 import BatchData, TelemetryRequest

WINDOW = 256 << 10
STREAMS = (1, 3)
HEADERS = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/a/b")]


class Handler(AbstractHandler):
    """Keeps the streams."""

    def __init__(self):
        self.streams = {}

    def accept(self, stream, headers, release_stream):
        self.streams[stream.id] = stream

    def cancel(self, stream):
        """Take no note of it."""

    def close(self):
        """Take no note of it."""


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.sent = []
        self.closed = False

    def write(self, data):
        self.sent.append(bytes(data))

    def writelines(self, list_of_data):
        raise AssertionError("on some versions of Python this pauses nobody")

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True


class Passing(PassingProtocol):
    """The server's end."""

    preface_bytes = 24


class End:
    """A server's end of a connection, of one kind or the other, and the client's."""

    def __init__(self, kind):
        config = Configuration(
            http2_connection_window_size=WINDOW, http2_stream_window_size=WINDOW
        ).__for_client__()  # without pings
        self.handler, self.wire = Handler(), Wire()
        self.protocol = kind(self.handler, config, H2Configuration(client_side=False))
        self.protocol.connection_made(self.wire)
        self.client = H2Connection(H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.hear()

    @property
    def h2(self):
        return self.protocol.connection._connection

    def hear(self):
        """Let the client hear what the server said; return its events."""
        said, self.wire.sent = b"".join(self.wire.sent), []
        return self.client.receive_data(said)

    def windows(self):
        """Return what is left of the windows."""
        managers = [self.h2._inbound_flow_control_window_manager]
        managers += [each._inbound_window_manager for each in self.h2.streams.values()]
        return [each.current_window_size for each in managers]

    async def read(self):
        """Return what the streams have received, and whether they have ended."""
        found = []
        for stream in self.handler.streams.values():
            size = stream.data_received
            found.append((await stream.buffer.read(size), stream.buffer._eof, size))
        return found


frames = st.lists(
    st.tuples(
        st.sampled_from(STREAMS),
        st.integers(0, 700),
        st.one_of(st.none(), st.integers(0, 20)),
        st.booleans(),
    ),
    max_size=12,
)


@given(frames, st.lists(st.integers(1, 400), max_size=60), st.booleans())
async def test_streams_receive_the_same_as_through_h2(parts, cuts, says_length):
    """Bytes, ends and windows are those of h2, for any frames and however they are cut."""
    ends = [End(H2Protocol), End(Passing)]
    client = ends[0].client
    for number in STREAMS:
        more = [("content-length", "20000")] if says_length else []
        client.send_headers(number, HEADERS + more)
    for place, (number, size, padding, pings) in enumerate(parts):
        client.send_data(number, bytes([place % 256]) * size, pad_length=padding)
        if pings:
            client.ping(b"12345678")
    if not says_length:
        client.end_stream(STREAMS[0])
    data = client.data_to_send()
    for end in ends:
        rest = data
        for cut in [*cuts, len(data)]:
            if rest[:cut]:
                end.protocol.data_received(rest[:cut])
            rest = rest[cut:]
    assert ends[0].windows() == ends[1].windows()
    assert not any(end.wire.closed for end in ends)
    if all(size for _, size, _, _ in parts):  # grpclib takes an empty frame for the end
        assert await ends[0].read() == await ends[1].read()


def test_a_body_is_not_fed_to_h2(monkeypatch):
    """Of a picture h2 gets nothing, whatever parts it arrives in."""
    fed = []
    whole = H2Connection.receive_data
    end = End(Passing)
    end.client.send_headers(1, HEADERS)
    end.protocol.data_received(end.client.data_to_send())

    def counting(self, data):
        fed.append(len(data))
        return whole(self, data)

    monkeypatch.setattr(H2Connection, "receive_data", counting)
    end.client.send_data(1, b"x" * 16_000)
    data = end.client.data_to_send()
    for start in range(0, len(data), 1000):
        end.protocol.data_received(data[start : start + 1000])
    assert end.handler.streams[1].data_received == 16_000
    assert not fed


def test_more_than_the_window_ends_the_connection():
    """Who sends more than was granted is told so, and cut off; what passed h2 by counts."""
    end = End(Passing)
    end.client.send_headers(1, HEADERS)
    end.protocol.data_received(end.client.data_to_send())
    frame = DataFrame(1, data=b"x" * 16_384).serialize()
    for _ in range(WINDOW // 16_384 + 1):
        end.protocol.data_received(frame)
    assert end.wire.closed
    assert end.handler.streams[1].data_received == WINDOW


@pytest.mark.parametrize("chunks", [1, 4])
def test_what_comes_behind_the_end_of_a_connection_is_dropped(chunks):
    """GOAWAY, a plain body and a ping, in one chunk or in several: nothing is raised."""
    end = End(Passing)
    end.client.send_headers(1, HEADERS)
    end.protocol.data_received(end.client.data_to_send())
    data = GoAwayFrame(0).serialize() + DataFrame(1, data=b"x" * 100).serialize()
    data += PingFrame(0, b"12345678").serialize()
    for start in range(0, len(data), len(data) // chunks):
        end.protocol.data_received(data[start : start + len(data) // chunks])
    assert end.wire.closed
    assert end.handler.streams[1].data_received == 0


def test_a_body_for_a_stream_that_has_ended_gives_its_room_back():
    """A body that is cut short by its stream's end counts for the connection as read."""
    end = End(Passing)
    end.client.send_headers(1, HEADERS)
    end.protocol.data_received(end.client.data_to_send())
    end.client.send_data(1, b"x" * 16_000)
    data = end.client.data_to_send()
    end.protocol.data_received(data[:-8000])
    end.protocol.processor.streams.pop(1)
    end.protocol.data_received(data[-8000:])
    assert end.handler.streams[1].data_received == 8000
    manager = end.h2._inbound_flow_control_window_manager
    assert manager._bytes_processed == 8000


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 40_000])
def test_what_is_sent_past_h2_is_what_a_peer_reads(size):
    """The frames are of the peer's size, and both ends' windows agree afterwards."""
    end = End(Passing)
    end.client.send_headers(1, HEADERS)
    end.protocol.data_received(end.client.data_to_send())
    stream, body = end.handler.streams[1], b"y" * size
    end.h2.send_headers(1, [(":status", "200")])
    send_data(stream, b"12345", body)
    events = end.hear()
    got = [each.data for each in events if isinstance(each, DataReceived)]
    assert b"".join(got) == b"12345" + body
    assert max(map(len, got)) <= 16_384
    assert not any(isinstance(each, StreamReset | ConnectionTerminated) for each in events)
    assert end.h2.local_flow_control_window(1) == 65_535 - 5 - size


def opened(end):
    """Return the first stream of an end, which has answered."""
    end.client.send_headers(1, HEADERS)
    end.protocol.data_received(end.client.data_to_send())
    end.h2.send_headers(1, [(":status", "200")])
    return end.handler.streams[1]


def received(end):
    """Return what the client was sent since it was heard last."""
    return b"".join(each.data for each in end.hear() if isinstance(each, DataReceived))


async def test_a_message_in_parts_waits_for_the_window():
    """As much as the window takes is sent, whichever part it ends in; the rest as room comes."""
    end = End(Passing)
    stream = opened(end)
    parts = (b"head", bytes(range(256)) * 300, b"", b"tail")
    sending = asyncio.create_task(send_message(stream, *parts))
    got = b""
    while not sending.done():
        await asyncio.sleep(0)
        new = received(end)
        got += new
        if new:
            end.client.acknowledge_received_data(len(new), 1)
            end.protocol.data_received(end.client.data_to_send())
    await sending
    got += received(end)
    assert got == b"\0" + (76_808).to_bytes(4, "big") + b"".join(parts)


async def test_a_message_to_a_stream_that_was_closed_is_refused():
    """Who sends to a peer that reset the stream is told so."""
    end = End(Passing)
    stream = opened(end)
    end.client.reset_stream(1)
    end.protocol.data_received(end.client.data_to_send())
    with pytest.raises(StreamTerminatedError):
        await send_message(stream, b"x")


@pytest.mark.parametrize("size", [0, 100, 40_000])
async def test_a_picture_beside_its_request_is_the_request_that_holds_it(size):
    """Its receiver reads one message, sealed, with the picture as its payload."""
    end = End(Passing)
    picture = BatchData(global_step=7, images=[{"image_bytes": bytes(size)}])
    request = TelemetryRequest(session_id="s", producer_id="p", timestamp_ms=3)

    class Call:
        _wrapper, _stream = Wrapper(), opened(end)

    await send_picture(Call(), request, picture.SerializeToString())
    read, seal = TelemetryRequest(), Seal()
    seal.parse(read, received(end)[5:])
    request.batch_data.CopyFrom(picture)
    assert seal.required
    assert read == request


async def test_a_peer_that_does_not_read_pauses_who_sends():
    """What is sent past h2 fills no memory: the transport says when it has enough."""
    ours, theirs = socket.socketpair()
    with theirs:
        end = End(Passing)
        client = end.client
        client.increment_flow_control_window(64 << 20)
        client.send_headers(1, HEADERS)
        client.increment_flow_control_window(64 << 20, 1)
        end.protocol.data_received(client.data_to_send())
        end.h2.send_headers(1, [(":status", "200")])
        paused = asyncio.Event()

        class Told(asyncio.Protocol):
            def pause_writing(self):
                paused.set()

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(Told, sock=ours)
        stream = end.handler.streams[1]
        stream._transport = transport
        for _ in range(500):  # 39 MB
            if not paused.is_set():
                send_data(stream, bytes(78_000))
        assert paused.is_set()
        transport.abort()
        await asyncio.sleep(0)
