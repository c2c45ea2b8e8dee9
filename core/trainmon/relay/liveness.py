"""Whether the training steps, is silent, or has died."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from trainmon.channel import ControlBlock, Word
from trainmon.v1.telemetry_pb2 import TrainerLiveness

__all__ = ["Liveness", "TrainerProcess"]

_STALL_STEPS = 10


class TrainerProcess:
    """The training's process, seen from its child.

    Args:
        pid: What the training said its process id is; 0: whatever started this process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid or os.getppid()
        self.descriptor: int | None = None
        """Readable once the process is gone; None where the system has no such thing."""
        with suppress(AttributeError, OSError):
            self.descriptor = os.pidfd_open(self.pid)  # type: ignore[attr-defined,unused-ignore] # Linux

    @property
    def alive(self) -> bool:
        """Whether the process that started this one is still there."""
        if os.getppid() != self.pid:
            return False
        if self.descriptor is None:
            return True
        # A zombie is still the parent, but trains no more.
        return not select.select([self.descriptor], [], [], 0)[0]

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class Liveness:
    """Judges the training by its steps.

    Args:
        block: Where the training notes when a step ended.
        stall_after_s: Least time without a step that counts as silence.
    """

    def __init__(self, block: ControlBlock, stall_after_s: float) -> None:
        self._words = block.words
        self._stall_after_s = stall_after_s
        self._since_ns = time.monotonic_ns()
        self._running = False
        self.died = False
        """Whether the process is gone without having said goodbye."""

    def status(self, status: str) -> None:
        """Note what the training says it does; only where it runs must steps end."""
        running = status == "RUNNING"
        if running and not self._running:
            self._since_ns = time.monotonic_ns()  # a pause before it was no silence
        self._running = running

    def step_age_ms(self, now_ns: int) -> int | None:
        """Return how long ago the last step ended; None: none has."""
        last_ns = self._words[Word.LAST_STEP_NS]
        return max(0, now_ns - last_ns) // 1_000_000 if last_ns else None

    def judge(self, now_ns: int, median_step_s: float | None) -> TrainerLiveness:
        """Return the state at ``now_ns`` (``time.monotonic_ns()``)."""
        if self.died:
            return TrainerLiveness.TRAINER_LIVENESS_DIED
        if not self._running or self._words[Word.PAUSED]:
            return TrainerLiveness.TRAINER_LIVENESS_STEPPING
        limit_s = max(self._stall_after_s, _STALL_STEPS * (median_step_s or 0.0))
        silent_ns = now_ns - max(self._since_ns, self._words[Word.LAST_STEP_NS])
        if silent_ns > limit_s * 1e9:
            return TrainerLiveness.TRAINER_LIVENESS_SILENT
        return TrainerLiveness.TRAINER_LIVENESS_STEPPING
