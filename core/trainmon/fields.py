"""Fields of serialised messages, written and found without parsing what they hold.

What is large is to be made, checked and copied once. The encoding is told at
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

__all__ = ["LENGTH_DELIMITED", "field_in", "read_varint", "varint"]

#: How texts, bytes and messages are marked, in the low three bits of a field's tag.
LENGTH_DELIMITED = 2
_VARINT, _FIXED64, _FIXED32 = 0, 1, 5
_MOST_FIELDS = 32


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Return the number that begins at a position, and where it ends.

    Raises:
        ValueError: The bytes end within it.
    """
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is cut short")


def field_in(message: bytes, number: int) -> memoryview | None:
    """Return the bytes of a submessage, not copied, at a cost that does not depend on its size.

    Of messages with a great many fields none is looked for: no sender of ours makes any.

    Args:
        message: Serialised, and known to be whole.
        number: Of the field.

    Returns:
        None where the field is not there exactly once, or others are too many or of a kind not
        known here.
    """
    found: memoryview | None = None
    position = 0
    for _ in range(_MOST_FIELDS):
        if position >= len(message):
            return found
        tag, position = read_varint(message, position)
        kind = tag & 7
        if kind == LENGTH_DELIMITED:
            size, position = read_varint(message, position)
            if tag >> 3 == number:
                if found is not None:
                    return None
                found = memoryview(message)[position : position + size]
            position += size
        elif kind == _VARINT:
            _, position = read_varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            return None
    return None
