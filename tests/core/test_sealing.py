"""Messages between relay and monitor carry a checksum, and changed ones are noticed."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from trainmon.sealing import BrokenSealError, Seal, seal
from trainmon.v1.telemetry_pb2 import Heartbeat, SessionResponse, TelemetryRequest

MESSAGE = TelemetryRequest(session_id="s", heartbeat=Heartbeat(sequence_number=3), sequence=7)


def test_sealed_message_is_a_message() -> None:
    """Who knows no checksums reads a sealed message as ever: it is one with one field more."""
    read = TelemetryRequest.FromString(seal(MESSAGE.SerializeToString()))
    assert read.HasField("checksum")
    read.ClearField("checksum")
    assert read == MESSAGE


def test_checksum_is_not_handed_on() -> None:
    """What was sealed reads as what was sent, without the checksum."""
    read = TelemetryRequest()
    Seal().parse(read, seal(MESSAGE.SerializeToString()))
    assert read == MESSAGE


def test_every_changed_byte_is_noticed() -> None:
    """Once a peer has sealed a message, no byte of a later one can be changed unnoticed."""
    whole = seal(MESSAGE.SerializeToString())
    for place in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(whole)
            changed[place] ^= change
            peer = Seal()
            peer.parse(TelemetryRequest(), whole)
            with pytest.raises(BrokenSealError):
                peer.parse(TelemetryRequest(), bytes(changed))


def test_a_first_message_that_is_broken_but_has_a_checksum_is_no_strangers() -> None:
    """Dropped as one of a peer without checksums, it would be missing for ever."""
    data = seal(TelemetryRequest(session_id="s", sequence=1).SerializeToString())
    broken = b"\xff" * 3 + data[3:]
    with pytest.raises(BrokenSealError):
        Seal().parse(TelemetryRequest(), broken)


def test_missing_checksum_is_noticed() -> None:
    """A peer that has sealed a message seals them all."""
    peer = Seal()
    peer.parse(TelemetryRequest(), seal(MESSAGE.SerializeToString()))
    with pytest.raises(BrokenSealError):
        peer.parse(TelemetryRequest(), MESSAGE.SerializeToString())


def test_peer_without_checksums_is_served() -> None:
    """A peer that never seals is read as it is, and what is no message is told as ever."""
    peer, read = Seal(), TelemetryRequest()
    for _ in range(2):
        peer.parse(read, MESSAGE.SerializeToString())
        assert read == MESSAGE
    with pytest.raises(DecodeError):
        peer.parse(read, b"\xff\xff")


def test_messages_without_the_field_are_read() -> None:
    """A message that has no such field is read by the same means."""
    read = SessionResponse()
    Seal().parse(read, seal(SessionResponse(session_id="x").SerializeToString()))
    assert read.session_id == "x"
    beat = Heartbeat()
    Seal().parse(beat, Heartbeat(sequence_number=2).SerializeToString())
    assert beat.sequence_number == 2
