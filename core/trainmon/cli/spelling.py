"""Variables that look like settings, and are none because a letter is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from difflib import get_close_matches

from trainmon.config import Settings

__all__ = ["misspelt"]

_PREFIX = "TRAINMON_"
#: How alike two names have to be, from 0 to 1: one or two letters of a short word.
_ALIKE = 0.75


def misspelt(variables: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each variable that is no setting but nearly one.

    Others that begin as settings do are left alone: plugins may have some of their own, and an
    orchestrator invents them for a service of that name.

    Args:
        variables: Names of variables that are set.
    """
    known = [item.metadata["env"].removeprefix(_PREFIX) for item in fields(Settings)]
    for name in sorted(variables):
        rest = name.upper().removeprefix(_PREFIX)
        if not name.upper().startswith(_PREFIX) or name in {_PREFIX + each for each in known}:
            continue
        meant = get_close_matches(rest, known, n=1, cutoff=_ALIKE)
        if meant:
            yield f"{name} is no setting and is ignored: did you mean {_PREFIX}{meant[0]}?"
