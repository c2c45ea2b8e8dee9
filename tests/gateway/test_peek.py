"""Reading cursor and kind from bytes, against what protobuf itself reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from trainmon_gateway.errors import CallError
from trainmon_gateway.peek import PICTURE, SNAPSHOT, peek, says_reset

EVENTS = [each.name for each in WatchSessionResponse.DESCRIPTOR.oneofs_by_name["event"].fields]


@given(
    st.integers(0, 2**64 - 1), st.text(max_size=300), st.sampled_from([*EVENTS, None]), st.binary()
)
def test_every_response_is_read_as_protobuf_reads_it(timestamp, cursor, event, unknown):
    """Cursor and event are found in any response, with fields of a later version between."""
    response = WatchSessionResponse(timestamp_ms=timestamp, cursor=cursor)
    if event is not None:
        getattr(response, event).SetInParent()
    data = response.SerializeToString()
    found = peek(data)
    assert found.cursor.decode() == cursor
    name = WatchSessionResponse.DESCRIPTOR.fields_by_number.get(found.event)
    assert (name.name if name else None) == event


def test_the_events_bytes_are_found():
    """The event's own message is the slice between start and end."""
    response = WatchSessionResponse(cursor="c", batch_data={"global_step": 7})
    found = peek(response.SerializeToString())
    assert found.event == PICTURE
    data = response.SerializeToString()[found.start : found.end]
    assert data == response.batch_data.SerializeToString()


@pytest.mark.parametrize("reset", [True, False])
def test_reset_is_read_from_a_snapshot(reset):
    """Whether a snapshot resets is read from its own message."""
    data = WatchSessionResponse(timestamp_ms=1, snapshot={"reset": reset}).SerializeToString()
    found = peek(data)
    assert found.event == SNAPSHOT
    assert says_reset(data, found) is reset


def test_numbers_of_a_later_version_are_skipped():
    """Unknown fields of 4 and 8 bytes and of any length hide nothing, and are no event."""
    extra = bytes([13 << 3 | 5, 1, 2, 3, 4, 14 << 3 | 1, *range(8), 15 << 3, 7])
    found = peek(extra + WatchSessionResponse(cursor="c").SerializeToString())
    assert (found.cursor, found.event) == (b"c", 0)


@pytest.mark.parametrize("data", [b"\x12\x05ab", b"\x08", b"\x0b", b"\xff\xff", b"\x09\x01"])
def test_what_is_no_message_is_refused(data):
    """Bytes that are cut short or no protobuf end with INTERNAL, not with an exception."""
    with pytest.raises(CallError):
        peek(data)
