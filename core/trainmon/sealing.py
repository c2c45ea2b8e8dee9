"""Messages whose bytes were changed on their way are noticed, and never taken for what was told.

TCP's checksum misses one changed packet in many thousands, and gRPC has none. So relay and monitor
end each of their messages with the field ``checksum``, and whoever has once received it from a peer
takes nothing from it without. Trainers that know no checksums are served as ever.
"""

from __future__ import annotations

import struct
import zlib

from google.protobuf.message import DecodeError, Message

from trainmon.errors import TrainmonError

__all__ = ["BrokenSealError", "Seal", "checksum", "seal"]

#: The field `checksum` of every message that has it: fixed32, and the last in the bytes.
_NUMBER = 100
_FIELD = struct.Struct("<2sI")
_TAG = b"\xa5\x06"


class BrokenSealError(TrainmonError, ConnectionError):
    """A message is not what was sent: the link cannot be trusted and is to be made anew."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"a {kind} was changed on its way: its checksum is wrong or missing")


def seal(data: bytes) -> bytes:
    """Return a serialised message with its checksum."""
    return data + checksum(data)


def checksum(*parts: bytes) -> bytes:
    """Return what has to follow the parts of a serialised message."""
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return _FIELD.pack(_TAG, found)


class Seal:
    """What is known of one peer: whether it sends checksums."""

    def __init__(self) -> None:
        self.required = False

    def parse(self, message: Message, data: bytes) -> None:
        """Fill ``message`` with what ``data`` holds, but for the checksum.

        Raises:
            BrokenSealError: It was changed on its way.
            DecodeError: It is no such message, of a peer that sends no checksums.
        """
        try:
            message.ParseFromString(data)
        except DecodeError:
            # Before the first message of a peer is read, its end tells whether it has a checksum.
            if self.required or data[-_FIELD.size :].startswith(_TAG):
                raise BrokenSealError(message.DESCRIPTOR.name) from None
            raise
        if _NUMBER not in message.DESCRIPTOR.fields_by_number:
            return
        if message.HasField("checksum"):
            if data[-_FIELD.size :] != _FIELD.pack(
                _TAG, zlib.crc32(memoryview(data)[: -_FIELD.size])
            ):
                raise BrokenSealError(message.DESCRIPTOR.name)
            self.required = True
            message.ClearField("checksum")
        elif self.required:
            raise BrokenSealError(message.DESCRIPTOR.name)
