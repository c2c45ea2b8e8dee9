"""Recording steps and epochs: the part of a session that the training pays for.

A step costs a few microseconds: numbers read, one record written to shared memory. Only when a
picture is due are arrays looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from trainmon.capture.arrays import length, scalar
from trainmon.capture.framing import FrameWriter
from trainmon.capture.pace import Due, FramePace
from trainmon.channel import StepRecord, TrainerChannel, Word, pack_step
from trainmon.events import BatchEvent, EpochEvent, FrameRequest

if TYPE_CHECKING:
    from trainmon.capture.relay_process import RelayProcess
    from trainmon.config import Settings

__all__ = ["StepRecorder"]

_MAX_SAMPLES = 16
_DEFAULT_TILE = 128
#: The part of the ring kept for epochs, states and results, which are never to be refused.
_RESERVED_PART = 8
_EPOCH_FIELDS = tuple(field.name for field in fields(EpochEvent))


class StepRecorder:
    """Counts steps, writes their scalars, and now and then a picture.

    Args:
        channel: Where to.
        relay: Woken for pictures; watched.
        settings: How often a picture is kept for the history.
        normalization: Of the images; None: unknown.
        collect: Asks the session's adapter for the samples of what it captured.
        failed: Told of what cannot be read.
    """

    def __init__(
        self,
        channel: TrainerChannel,
        relay: RelayProcess,
        settings: Settings,
        normalization: Mapping[str, Sequence[float]] | None,
        collect: Callable[[Any], BatchEvent | None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._records = channel.records
        self._words = channel.block.words
        self._relay = relay
        self._collect = collect
        self._failed = failed
        self._frames = FrameWriter(channel, normalization)
        self._pace = FramePace(channel.block, settings.key_frame_interval_s)
        self._reserve = channel.records.capacity // _RESERVED_PART
        self._request: FrameRequest | None = None
        self._epoch_started_ns = time.monotonic_ns()
        self.global_step = 0
        self.batch_index = 0
        self.epoch = 0
        self.attempt = 0

    @property
    def newest_step(self) -> int | None:
        """The step that ended last; None: none has."""
        return self.global_step - 1 if self.global_step else None

    def begin(self) -> FrameRequest | None:
        """Return what is wanted of this step, or None; the same until the step ends."""
        if self._request is None:
            now_ns = time.monotonic_ns()
            if self._frames.gathering or self._take_slot(now_ns):
                self._request = FrameRequest(
                    max_samples=self._words[Word.MAX_IMAGES] or _MAX_SAMPLES,
                    tile_size=self._words[Word.TILE_SIZE] or _DEFAULT_TILE,
                )
        return self._request

    def _take_slot(self, now_ns: int) -> bool:
        due = self._pace.due(now_ns)
        if due is None:
            return False
        if self._frames.begin(due, now_ns):
            self._pace.taken(due, now_ns)
            return True
        if due.live:  # one for the history waits for the next free slot
            self._words[Word.THINNED_PICTURES] += 1
            self._pace.taken(Due(live=True, key_frame=False), now_ns)
        return False

    def end(
        self, raw: Any, loss: Any, metrics: Mapping[str, Any] | None, optimizer_step: int | None
    ) -> None:
        """Write what is known of the step, and count it.

        Raises:
            ValueError: The samples are of no use; the scalars were written all the same.
            TypeError: Likewise.
        """
        started_ns = time.perf_counter_ns()
        words = self._words
        request = self.begin()
        step = StepRecord(
            global_step=self.global_step,
            epoch=self.epoch,
            batch_index=self.batch_index,
            time_ms=time.time() * 1e3,
            loss=None if loss is None else self._number("loss", loss),
            optimizer_step=optimizer_step,
            attempt=self.attempt,
            metrics=self.numbers(metrics) if metrics else {},
        )
        if not self._records.write(pack_step(step), self._reserve):
            words[Word.REFUSED_SCALARS] += 1
        now_ns = time.monotonic_ns()
        self.global_step += 1
        self.batch_index += 1
        words[Word.STEPS] += 1
        words[Word.LAST_STEP_NS] = now_ns
        self._request = None
        self._relay.check(now_ns)
        try:
            if request is not None:
                self._show(raw, step, request, now_ns)
        finally:
            words[Word.CAPTURE_NS] += time.perf_counter_ns() - started_ns

    def _show(self, raw: Any, step: StepRecord, request: FrameRequest, now_ns: int) -> None:
        batch = self._collect(raw)
        if batch is None:
            return
        described = {
            "global_step": step.global_step,
            "epoch": step.epoch,
            "batch_index": step.batch_index,
            "time_ms": step.time_ms,
            "batch_size": _batch_size(batch),
            "loss": step.loss,
            "optimizer_step": step.optimizer_step,
            "attempt": step.attempt,
        }
        if self._frames.add(batch, described, request, now_ns):
            self._relay.wake()

    def end_epoch(self, event: EpochEvent) -> dict[str, Any]:
        """Return the EPOCH record's fields, and begin the next epoch."""
        now_ns = time.monotonic_ns()
        record = {
            **{name: getattr(event, name) for name in _EPOCH_FIELDS},
            "metrics": dict(event.metrics),
            "epoch": self.epoch,
            "global_step": self.newest_step or 0,
            "duration_ms": (now_ns - self._epoch_started_ns) // 1_000_000,
            "attempt": self.attempt,
            "time_ms": time.time() * 1e3,
        }
        self._epoch_started_ns = now_ns
        self.epoch += 1
        self.batch_index = 0
        return record

    def resume_at(self, global_step: int, epoch: int, attempt: int | None) -> None:
        """Continue the counts of a resumed run; steps trained before are a later attempt."""
        if attempt is None:
            attempt = self.attempt + (global_step < self.global_step)
        self.global_step, self.epoch, self.attempt = global_step, epoch, attempt

    def _number(self, name: str, value: Any) -> float | None:
        try:
            return scalar(value)
        except (TypeError, ValueError) as error:
            self._failed(name, error)
            return None

    def numbers(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Return those values that are numbers; tell of the others."""
        numbers = {}
        for name, value in values.items():
            number = self._number(name, value)
            if number is not None:
                numbers[str(name)] = number
        return numbers


def _batch_size(batch: BatchEvent) -> int | None:
    if batch.batch_size is not None:
        return batch.batch_size
    for value in (batch.images, batch.targets, batch.outputs, batch.texts):
        if value is not None:
            return length(value)
    return None
