"""When a picture is due."""

from __future__ import annotations

from trainmon.channel import ControlBlock, Real

__all__ = ["Due", "FramePace", "is_dear"]

#: Pictures that cost more than this may take the training one part in so many of its time; over
#: that they come less often.
_DEAR_NS = 1_000_000
_PART_OF_TIME = 50
_LONGEST_REST_NS = 1_000_000_000
#: As a plain number: an enumeration's members are looked up anew each time, here at every step.
_RATE = int(Real.FRAMES_PER_SECOND)


def is_dear(spent_ns: int) -> bool:
    """Return whether a picture that has cost so much is one too many at the rate wanted."""
    return spent_ns > _DEAR_NS


class Due:
    """Why a picture is due."""

    __slots__ = ("key_frame", "live")

    def __init__(self, *, live: bool, key_frame: bool) -> None:
        self.live = live
        self.key_frame = key_frame


class FramePace:
    """Decides which steps are seen: as many as viewers want, and now and then one for the history.

    Args:
        block: Where the relay writes what viewers want.
        key_frame_interval_s: Seconds between pictures for the history.
        by_itself: Whether they are also taken while nobody watches. Of several ranks one does: the
            others keep a picture only where they are watched, the first rank having died.
    """

    def __init__(
        self, block: ControlBlock, key_frame_interval_s: float, *, by_itself: bool = True
    ) -> None:
        self._wanted = block.reals
        self._by_itself = by_itself
        self._key_interval_ns = int(key_frame_interval_s * 1e9)
        self._next_key_ns = 0
        self._beat_ns = -(10**18)
        self._rested_ns = 0

    def due(self, now_ns: int) -> Due | None:
        """Return why a picture is due at ``now_ns`` (``time.monotonic_ns()``), or None."""
        rate = self._wanted[_RATE]
        live = rate > 0 and now_ns >= self._rested_ns and now_ns >= self._beat_ns + 1e9 / rate
        key_frame = now_ns >= self._next_key_ns and (live or self._by_itself)
        return Due(live=live, key_frame=key_frame) if live or key_frame else None

    def taken(self, due: Due, now_ns: int) -> None:
        """Note that the picture was taken, or thinned: plan the next.

        A late one does not shift the beat, but neither are those that were missed made up for.
        """
        if due.key_frame:
            self._next_key_ns = now_ns + self._key_interval_ns
        rate = self._wanted[_RATE]
        if due.live and rate > 0:
            interval = int(1e9 / rate)
            late = now_ns >= self._beat_ns + 2 * interval
            self._beat_ns = now_ns if late else self._beat_ns + interval

    def spent(self, spent_ns: int, now_ns: int) -> None:
        """Note what a picture has cost the training: a dear one is followed by a longer rest."""
        if is_dear(spent_ns):
            self._rested_ns = now_ns + min(spent_ns * _PART_OF_TIME, _LONGEST_REST_NS)
