"""Who gets what is left of the room: what is accepted is never thinned, so what is new is.

===========  ====================================================================================
filled to    what is new
===========  ====================================================================================
1/2          all of it is taken; from here on no key frame
11/16        from here on rows of scalars are merged, the more the less room is left
7/8          no scalars; only epochs, states and results, which thus have room of their own
all          nothing
===========  ====================================================================================
"""

from __future__ import annotations

import math

from trainmon.relay.entry import RecordKind

__all__ = ["halvings", "has_room"]

_KEY_FRAMES, _SCALARS = 1 / 2, 7 / 8
_MOST_HALVINGS = 12


def has_room(kind: RecordKind, size: int, used: int, limit: int) -> bool:
    """Tell whether a record of ``size`` bytes may be taken where ``used`` of ``limit`` are."""
    share = {RecordKind.KEY_FRAME: _KEY_FRAMES, RecordKind.SCALARS: _SCALARS}.get(kind, 1.0)
    return used + size <= limit * share


def halvings(used: int, limit: int) -> int:
    """Return how often rows are to be halved: once more each time half of the room is gone.

    So each half of what is left lasts as long as the half before it did, whatever comes.
    """
    start, end = limit * _KEY_FRAMES, limit * _SCALARS
    left = (end - used) / (end - start)
    if left >= 1:
        return 0
    return _MOST_HALVINGS if left <= 0 else min(_MOST_HALVINGS, int(-math.log2(left)))
