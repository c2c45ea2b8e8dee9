"""What a relay is told when it starts, out of band: records it has yet to read may be older.

A JSON object in an anonymous file whose descriptor the relay inherits (a pipe would block where
a run has more class names than fit). Fields: ``info`` (SessionInfo's fields), ``details`` (as in a
DETAILS record: all that became known so far), ``status`` and ``message`` (the newest state),
``adapter`` (name of the plugin that feeds the session).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from trainmon.channel.memory import open_anonymous

__all__ = ["read_hello", "write_hello"]


def write_hello(fields: Mapping[str, Any]) -> int:
    """Return the descriptor of a file that holds the object; the caller closes it.

    Raises:
        OSError: The system has no memory or descriptors left.
    """
    descriptor = open_anonymous(0)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(json.dumps(fields).encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_hello(descriptor: int) -> dict[str, Any]:
    """Read the object and close the descriptor.

    Raises:
        ValueError: It holds no JSON object.
    """
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        fields = json.load(file)
    if not isinstance(fields, dict):
        raise ValueError(f"a hello holds {type(fields).__name__}, not an object")
    return fields
