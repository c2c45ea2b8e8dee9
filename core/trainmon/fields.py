"""Fields of serialised messages, written and found without parsing what they hold.

What is large is to be made, checked and copied once. The encoding is told at
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LENGTH_DELIMITED", "field_in", "varint", "walk"]

#: How texts, bytes and messages are marked, in the low three bits of a field's tag.
LENGTH_DELIMITED = 2
_VARINT = 0
#: Bytes of what is of fixed length, by kind.
_FIXED = {1: 8, 5: 4}
_MOST_FIELDS = 32


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
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


def walk(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field's number and kind, and where what it holds begins and ends.

    What is large is passed by: the cost does not depend on the size of what fields hold.

    Raises:
        ValueError: These bytes are no message, or have groups, which no message here has.
    """
    position, size = 0, len(message)
    while position < size:
        tag, start = _read_varint(message, position)
        kind, end = tag & 7, start
        if kind == LENGTH_DELIMITED:
            length, start = _read_varint(message, start)
            end = start + length
        elif kind == _VARINT:
            _, end = _read_varint(message, start)
        elif kind in _FIXED:
            end = start + _FIXED[kind]
        else:
            raise ValueError(f"a field is of kind {kind}, which is not known here")
        if end > size:
            raise ValueError("a field is cut short")
        yield tag >> 3, kind, start, end
        position = end


def field_in(message: bytes, number: int) -> memoryview | None:
    """Return the bytes of a submessage, not copied.

    Args:
        message: Serialised, and known to be whole.
        number: Of the field.

    Returns:
        None where the field is not there exactly once, or where there are groups or a great many
        fields, such as no sender of ours makes.
    """
    found: memoryview | None = None
    try:
        for count, (field, _, start, end) in enumerate(walk(message)):
            if count == _MOST_FIELDS or (field == number and found is not None):
                return None
            if field == number:
                found = memoryview(message)[start:end]
    except ValueError:
        return None
    return found
