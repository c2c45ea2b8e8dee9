"""Frames, trailers and the parser of requests, without a socket."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import (
    JOIN_BYTES,
    PREFIX,
    RequestParser,
    encode_message,
    frame,
    join,
    parse_timeout,
    trailers,
)


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=50))
def test_a_message_is_found_however_its_body_is_cut(message, cuts):
    """The parser returns the message for any way of cutting its frame into chunks."""
    body, parser = frame(message), RequestParser(200)
    for cut in [*cuts, len(body) or 1]:
        parser.feed(body[:cut])
        body = body[cut:]
    assert parser.finish() == message


@given(st.binary(min_size=1, max_size=40))
def test_no_body_makes_the_parser_fail_otherwise_than_with_a_status(body):
    """Any bytes are a message or end with a status."""
    parser = RequestParser(16)
    with suppress(CallError):
        parser.feed(body)
        assert len(parser.finish()) == len(body) - PREFIX.size


@given(st.text(max_size=100))
def test_a_message_for_people_survives_its_encoding(text):
    """grpc-message is ASCII without line breaks, and decodes to what was said."""
    encoded = encode_message(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert unquote(encoded).strip() == text.encode("utf-8", "replace").decode().strip()


def test_a_message_for_people_is_bounded():
    """A message of any length is cut before it is sent."""
    assert len(trailers(Status.INTERNAL, "x" * 1_000_000)) < 3000


def test_trailers_are_a_frame_of_their_own():
    """Trailers have the flag, their length, and lines ended by CR LF."""
    flags, length = PREFIX.unpack_from(trailers(Status.OK))
    assert (flags, trailers(Status.OK)[5:]) == (0x80, b"grpc-status: 0\r\n")
    assert length == len(b"grpc-status: 0\r\n")


def test_frames_join_to_the_same_bytes():
    """Several frames written together are the frames one after the other."""
    assert join([frame(b"a"), frame(b"bc")]) == frame(b"a") + frame(b"bc")


def test_a_picture_becomes_a_chunk_once():
    """However many viewers there are, they get the same bytes; small frames are not kept twice."""
    large, small = frame(bytes(JOIN_BYTES)), frame(b"a")
    assert large.chunk() == b"8005\r\n" + large + b"\r\n"
    assert large.chunk() is large.chunk()
    assert small.chunk() == b"6\r\n" + small + b"\r\n"
    assert small.chunk() is not small.chunk()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"4m", 4e-3), (b"5u", 5e-6), (b"6n", 6e-9)],
)
def test_a_timeout_has_a_unit(value, seconds):
    """Each unit of grpc-timeout is understood."""
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("announced", [b"1e9", b"-1", b"9" * 5000, b"10 "])
def test_a_strange_content_length_is_refused(announced):
    """A Content-Length that is no number, or a huge one, ends with a status."""
    with pytest.raises(CallError):
        RequestParser(100).check_announced(announced)
