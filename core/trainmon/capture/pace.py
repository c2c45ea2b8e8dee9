"""When a picture is due."""

from __future__ import annotations

from trainmon.channel import ControlBlock, Real

__all__ = ["Due", "FramePace"]


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
    """

    def __init__(self, block: ControlBlock, key_frame_interval_s: float) -> None:
        self._wanted = block.reals
        self._key_interval_ns = int(key_frame_interval_s * 1e9)
        self._next_key_ns = 0
        self._next_live_ns = 0

    def due(self, now_ns: int) -> Due | None:
        """Return why a picture is due at ``now_ns`` (``time.monotonic_ns()``), or None."""
        rate = self._wanted[Real.FRAMES_PER_SECOND]
        live = rate > 0 and now_ns >= self._next_live_ns
        key_frame = now_ns >= self._next_key_ns
        return Due(live=live, key_frame=key_frame) if live or key_frame else None

    def taken(self, due: Due, now_ns: int) -> None:
        """Note that the picture was taken, or thinned: plan the next.

        A late one does not shift the beat, but neither are those that were missed made up for.
        """
        if due.key_frame:
            self._next_key_ns = now_ns + self._key_interval_ns
        rate = self._wanted[Real.FRAMES_PER_SECOND]
        if due.live and rate > 0:
            interval = int(1e9 / rate)
            self._next_live_ns = max(self._next_live_ns + interval, now_ns - interval // 2)
