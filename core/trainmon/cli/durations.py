"""Durations as people write them: ``30d``, ``12h``, ``1h30m``."""

from __future__ import annotations

import re

import click

__all__ = ["duration"]

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = r"(\d+(?:\.\d+)?)\s*(min|[smhdw])\s*"
_WHOLE = re.compile(rf"(?:{_PART})+", re.IGNORECASE)
_EACH = re.compile(_PART, re.IGNORECASE)


def duration(text: str) -> float:
    """Return the seconds of a duration with its units; for an option's ``type``.

    Raises:
        click.BadParameter: It is none.
    """
    if not _WHOLE.fullmatch(text.strip()):
        raise click.BadParameter(
            f"{text!r} is no duration: write a number and its unit, s, m, h, d or w, such as "
            "30d, 12h or 1h30m."
        )
    return sum(float(count) * _SECONDS[unit.lower()] for count, unit in _EACH.findall(text))
