"""Frames are encoded in one thread of their own, so that no heartbeat waits for a picture."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainmon.channel.frames import SLOTS, FrameSlots
from trainmon.relay.frame import Frame, Renderer
from trainmon.relay.losses import LossCounter
from trainmon.relay.predictions import Labels
from trainmon.relay.tasks import Habits
from trainmon.v1.telemetry_pb2 import BatchData

__all__ = ["Encoder"]

_log = logging.getLogger(__name__)


class Encoder:
    """Encodes frames, the newest first where several wait; key frames are all encoded.

    Args:
        slots: Where the arrays lie.
        losses: Where what is thinned is counted.
        deliver: Takes each encoded frame, in the event loop.
        note: Takes what is to be told to people, once each, in the event loop.
    """

    def __init__(
        self,
        slots: FrameSlots,
        losses: LossCounter,
        deliver: Callable[[Frame, BatchData], None],
        note: Callable[[str], None],
    ) -> None:
        self._slots = slots
        self._losses = losses
        self._deliver = deliver
        self._note = note
        self._waiting: deque[Frame] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trainmon-encoder")
        self._task: asyncio.Task[None] | None = None
        self._told_outside = False
        self._habits = Habits()
        self.quality = self.live_quality = 85
        self.max_bytes = 4 << 20
        self.labels: tuple[str, ...] = ()
        self.render: Renderer | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or being encoded."""
        return self._task is None or self._task.done()

    def submit(self, fields: Mapping[str, Any], position: int) -> None:
        """Take in a FRAME record; its slot is given back as soon as it was read.

        Args:
            fields: The record.
            position: Of the ring, where it begins.
        """
        slot = fields.get("slot")
        if not isinstance(slot, int) or not 0 <= slot < SLOTS:
            self._losses.add("picture", "invalid")
            return
        if not self._slots.holds(slot, position):
            # A relay before this one died with it, and the slot was taken back or used again.
            self._losses.add("picture", "relay_lost")
            return
        for waiting in [frame for frame in self._waiting if not frame.key_frame]:
            self._waiting.remove(waiting)
            self._slots.free(waiting.fields["slot"])
            self._losses.add("picture", "relay_busy")
        self._waiting.append(Frame(fields, Labels(self.labels), self._habits))
        if self.idle:
            self._task = asyncio.create_task(self._work(), name="trainmon-encoder")

    async def close(self) -> None:
        """End the thread; what waits is thinned."""
        self._waiting.clear()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=1)
            self._task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            frame = self._waiting.popleft()
            try:
                message = await loop.run_in_executor(self._pool, self._encode, frame)
            except Exception as error:  # noqa: BLE001 - the encoder's door: one bad frame must not end them all
                self._losses.add("picture", "invalid")
                _log.warning("a picture could not be encoded: %s: %s", type(error).__name__, error)
                continue
            self._tell(frame)
            if message is None:
                self._losses.add("picture", "message_too_large")
            else:
                self._deliver(frame, message)

    def _encode(self, frame: Frame) -> BatchData | None:
        slot = frame.fields["slot"]
        try:
            arrays = self._slots.arrays(slot, frame.fields.get("arrays") or {})
            frame.read(arrays, self.render)
        finally:
            self._slots.free(slot)
        # What the history keeps is not to suffer from a slow link.
        quality = self.quality if frame.key_frame else self.live_quality
        return frame.message(quality, self.max_bytes)

    def _tell(self, frame: Frame) -> None:
        for problem in frame.problems:
            self._losses.add("picture", "invalid_part")
            self._note(f"not shown: {problem}")
        if frame.labels.outside is not None and not self._told_outside:
            self._told_outside = True
            self._note(
                f"class index {frame.labels.outside} lies outside the {len(self.labels)} class "
                "names that were given; it is shown without a name (said once)"
            )
