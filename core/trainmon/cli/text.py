"""How commands write what a training chose, and times, and tables."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from trainmon.v1.dashboard_pb2 import SessionState

__all__ = ["ago", "aligned", "enum_name", "lasting", "moment", "printable", "since", "state_name"]

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def printable(text: str) -> str:
    """Return a text without what would move a terminal's cursor: any training may choose it."""
    return "".join(each if each.isprintable() else "?" for each in text)


def state_name(state: SessionState) -> str:
    """Return a session's state as people read it: ``link lost``."""
    return enum_name(SessionState, state, "SESSION_STATE_")


def enum_name(kind: Any, number: int, prefix: str) -> str:
    """Return the name of an enum's value as people read it.

    Args:
        kind: The enum.
        number: Its value; one that a newer monitor knows and this trainmon does not has no name.
        prefix: What every name begins with.
    """
    if number not in kind.values():
        return f"unknown {number}"
    name: str = kind.Name(number)
    return name.removeprefix(prefix).lower().replace("_", " ")


def moment(time_ms: float) -> str:
    """Return a time as the clock of this machine shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ms / 1000))


def lasting(duration_ms: float) -> str:
    """Return a duration to about two digits: ``48 s``, ``3.2 h``."""
    seconds = max(duration_ms, 0.0) / 1000
    for unit_s, name in _UNITS:
        if seconds >= 1.5 * unit_s:
            count = seconds / unit_s
            return f"{count:.0f} {name}" if count >= 10 else f"{count:.2g} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def ago(time_ms: float, now_ms: float) -> str:
    """Return a time, and how long ago that was.

    Args:
        time_ms: The time, by the clock that ``now_ms`` is of.
        now_ms: The monitor's time, so that a clock that is wrong here does no harm.
    """
    return f"{moment(time_ms)} ({since(time_ms, now_ms)})"


def since(time_ms: float, now_ms: float) -> str:
    """Return how long ago a time was; the arguments are those of :func:`ago`."""
    age_ms = now_ms - time_ms
    return f"{lasting(age_ms)} ago" if age_ms >= 1000 else "just now"


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return lines whose columns begin at the same places; no lines for no rows."""
    table = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
