"""How frames go into the body of a response, at the HTTP connection alone."""

from __future__ import annotations

import h11
import pytest

from trainmon_gateway.frames import JOIN_BYTES, frame
from trainmon_gateway.server import _SharedChunks

REQUEST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


def asked(headers):
    """Return a connection on which a request is being answered."""
    connection = _SharedChunks(h11.SERVER, 1 << 16)
    connection.receive_data(REQUEST)
    connection.next_event()
    connection.next_event()
    connection.send(h11.Response(status_code=200, headers=headers))
    return connection


def test_viewers_get_the_same_chunk_of_a_picture():
    """What is written to each viewer's connection is one object, made once."""
    picture = frame(bytes(JOIN_BYTES))
    written = [asked([]).send(h11.Data(data=picture)) for _ in range(3)]
    assert all(each is written[0] for each in written)


@pytest.mark.parametrize("size", [0, 10, JOIN_BYTES])
def test_a_chunk_is_what_h11_makes_of_it(size):
    """Bytes and state are h11's own, in a chunked body and in one of a known length."""
    body = frame(bytes(size))
    for headers in ([], [("content-length", str(len(body)))]):
        ours = asked(headers)
        theirs = h11.Connection(h11.SERVER)
        theirs.receive_data(REQUEST)
        theirs.next_event()
        theirs.next_event()
        theirs.send(h11.Response(status_code=200, headers=headers))
        for event in (h11.Data(data=body), h11.EndOfMessage()):
            assert ours.send(event) == theirs.send(event)
            assert ours.states == theirs.states


def test_an_event_out_of_turn_is_refused_as_ever():
    """A body behind the end is h11's error."""
    connection = asked([])
    connection.send(h11.EndOfMessage())
    with pytest.raises(h11.LocalProtocolError):
        connection.send(h11.Data(data=frame(b"late")))
