"""Recording steps and epochs: the part of a session that the training pays for.

A step costs a few microseconds: numbers read, one record written to shared memory. Only when a
picture is due are arrays looked at. What lies on an accelerator is sent for, and its record is
written, in its turn, once it is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import isclose, prod
from operator import index
from typing import TYPE_CHECKING, Any

from trainmon.capture.arrays import Array, OnDeviceError, length, scalar
from trainmon.capture.device_batch import lies_on_device
from trainmon.capture.framing import FrameWriter
from trainmon.capture.landing import UnderWay, can_fetch, fetch_numbers
from trainmon.capture.pace import Due, FramePace, is_dear
from trainmon.capture.recognised import Recipe
from trainmon.channel import TrainerChannel, Word, pack_step
from trainmon.events import BatchEvent, EpochEvent, FrameRequest

if TYPE_CHECKING:
    from trainmon.capture.relay_process import RelayProcess
    from trainmon.config import Settings

__all__ = ["StepRecorder"]

_MAX_SAMPLES = 16
_DEFAULT_TILE = 128
#: The part of the ring kept for epochs, states and results, which are never to be refused.
_RESERVED_PART = 8
_EPOCH_NUMBERS = tuple(field.name for field in fields(EpochEvent) if field.name != "metrics")
_MOST_STEPS, _MOST_EPOCHS = 2**62, 2**32
#: By how much the mean of the samples' losses may differ from the batch's: half precision.
_LOSS_SLACK = 1e-3
#: Stands for the loss among the metrics' names.
_LOSS = object()
#: As plain numbers: an enumeration's members are looked up anew each time, here at every step.
_STEPS, _LAST_STEP_NS = int(Word.STEPS), int(Word.LAST_STEP_NS)
_CAPTURE_NS = int(Word.CAPTURE_NS)


@dataclass(slots=True)
class _Step:
    """A step that is shown, or of which some numbers are still on their way."""

    global_step: int
    epoch: int
    batch_index: int
    time_ms: float
    loss: float | None
    optimizer_step: int | None
    attempt: int
    metrics: dict[str, float]
    here: bool = True
    """Whether no number is on its way any more."""

    def record(self) -> bytes:
        """Return the STEP record."""
        return pack_step(
            self.global_step,
            self.epoch,
            self.batch_index,
            self.time_ms,
            self.loss,
            self.optimizer_step,
            self.attempt,
            self.metrics,
        )

    def fields(self, batch_size: int | None) -> dict[str, Any]:
        """Return what a FRAME record says of the step."""
        return {
            "global_step": self.global_step,
            "epoch": self.epoch,
            "batch_index": self.batch_index,
            "time_ms": self.time_ms,
            "batch_size": batch_size,
            "loss": self.loss,
            "optimizer_step": self.optimizer_step,
            "attempt": self.attempt,
        }


class StepRecorder:
    """Counts steps, writes their scalars, and now and then a picture.

    Args:
        channel: Where to.
        relay: Woken for pictures; watched.
        settings: How often a picture is kept for the history.
        normalization: Of the images; None: unknown.
        collect: Asks the session's adapter for the samples of what it captured.
        failed: Told which argument of which call cannot be read, and why.
        first_rank: Whether this process' pictures are those of the run.
    """

    def __init__(
        self,
        channel: TrainerChannel,
        relay: RelayProcess,
        settings: Settings,
        normalization: Mapping[str, Sequence[float]] | None,
        collect: Callable[[Any], BatchEvent | None],
        failed: Callable[[str, Exception], None],
        *,
        first_rank: bool = True,
    ) -> None:
        def failed_in(call: str) -> Callable[[str, Exception], None]:
            return lambda name, error: failed(f"{call}({name}=...)", error)

        self._records = channel.records
        self._words = channel.block.words
        self._relay = relay
        self._collect = collect
        self._failed = failed_in("batch_end")
        self._failed_of_epoch = failed_in("epoch_end")
        self._frames = FrameWriter(channel, normalization, self._failed)
        self._pace = FramePace(channel.block, settings.key_frame_interval_s, by_itself=first_rank)
        self._reserve = channel.records.capacity // _RESERVED_PART
        self._under_way = UnderWay(self._failed)
        self.waiting = self._under_way.waiting
        """What is on its way from a device: empty where there is nothing to settle."""
        self._picture_under_way = False
        self._wary = False
        self._request: FrameRequest | None = None
        self._last_request = FrameRequest(_MAX_SAMPLES, _DEFAULT_TILE)
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
        return self._wanted() if self.is_wanted(time.monotonic_ns()) else None

    def is_wanted(self, now_ns: int) -> bool:
        """Return whether anything is wanted of this step: asked at each, so in as little code."""
        if self.waiting:
            self._under_way.settle()
        if self._request is not None:
            return True
        if self._picture_under_way:
            return False
        if self._frames.frame is not None:
            return True
        due = self._pace.due(now_ns)
        return due is not None and self._take_slot(due, now_ns)

    def _wanted(self) -> FrameRequest:
        if self._request is None:
            edge = Word.KEY_TILE_SIZE if self._frames.for_history else Word.TILE_SIZE
            tile_size = self._words[edge] or _DEFAULT_TILE
            max_samples = min(self._words[Word.MAX_IMAGES] or _MAX_SAMPLES, _MAX_SAMPLES)
            last = self._last_request
            if last.max_samples != max_samples or last.tile_size != tile_size:
                last = self._last_request = FrameRequest(max_samples, tile_size)
            self._request = last
        return self._request

    def _take_slot(self, due: Due, now_ns: int) -> bool:
        if self._frames.begin(due, now_ns):
            self._pace.taken(due, now_ns)
            return True
        if due.live:  # one for the history waits for the next free slot
            self._words[Word.THINNED_PICTURES] += 1
            self._pace.taken(Due(live=True, key_frame=False), now_ns)
        return False

    def end(
        self,
        raw: Any,
        loss: Any,
        metrics: Mapping[str, Any] | None,
        optimizer_step: Any,
        asked_ns: int | None = None,
    ) -> None:
        """Write what is known of the step, and count it, whatever cannot be read of it.

        Args:
            raw: What was captured; None: nothing.
            loss: Of the batch.
            metrics: Further scalars.
            optimizer_step: The framework's own count.
            asked_ns: When :meth:`is_wanted` was asked, just now, so that there is a ``raw`` only
                where it is wanted; None: that is still to be asked.
        """
        now_ns = time.monotonic_ns() if asked_ns is None else asked_ns
        if asked_ns is None and not self.is_wanted(now_ns):
            raw = None
        request = None if raw is None else self._wanted()
        words = self._words
        last_ns = words[_LAST_STEP_NS]
        try:
            step = self._write(loss, metrics, optimizer_step, shown=raw is not None)
        finally:
            self.global_step += 1
            self.batch_index += 1
            words[_STEPS] += 1
            words[_LAST_STEP_NS] = now_ns
            self._request = None
        self._relay.check(now_ns)
        try:
            if request is not None and step is not None:
                self._show(raw, step, request, now_ns, now_ns - last_ns if last_ns else 0)
        finally:
            words[_CAPTURE_NS] += time.monotonic_ns() - now_ns

    def _write(
        self, loss: Any, metrics: Mapping[str, Any] | None, optimizer_step: Any, *, shown: bool
    ) -> _Step | None:
        """Write what is known of the step; return it only where more is to become of it.

        It is told as a plain tuple, in the order of ``_Step`` and of ``pack_step``, for nearly
        every step is written and forgotten.
        """
        late: dict[Any, Any] = {}
        if loss is not None and type(loss) is not float:
            loss = self._number("loss", loss, late, _LOSS)
        if optimizer_step is not None:
            optimizer_step = self._whole("optimizer_step", optimizer_step)
        told = (
            self.global_step,
            self.epoch,
            self.batch_index,
            time.time() * 1e3,
            loss,
            optimizer_step,
            self.attempt,
            self.numbers(metrics, late) if metrics else {},
        )
        if late or self.waiting:
            return self._write_landed(_Step(*told, here=False), late)
        self._send(pack_step(*told))
        return _Step(*told) if shown else None

    def _write_landed(self, step: _Step, late: Mapping[Any, Any]) -> _Step:
        """Have a step written once its numbers are here, and all that is under way before it."""

        def land(found: Mapping[Any, float]) -> None:
            step.loss = found.get(_LOSS, step.loss)
            step.metrics.update((name, found[name]) for name in found if name is not _LOSS)
            step.here = True
            self._send(step.record())

        self._when_landed(late, land)
        return step

    def _send(self, record: bytes) -> None:
        if not self._records.write(record, self._reserve):
            self._words[Word.REFUSED_SCALARS] += 1

    def _when_landed(
        self, late: Mapping[Any, Any], land: Callable[[Mapping[Any, float]], None]
    ) -> None:
        """Have something done with numbers on their way, after all that is under way already."""
        try:
            numbers = fetch_numbers(late)
        except Exception as error:  # noqa: BLE001 - a stranger's device; told, the rest is written
            self._failed("a number on a device", error)
            numbers = fetch_numbers({})
        self._under_way.put(numbers.ready, lambda landed: land(numbers.read() if landed else {}))

    def _show(
        self, raw: Any, step: _Step, request: FrameRequest, now_ns: int, step_ns: int
    ) -> None:
        # A dear picture may have lost time to others: of the next the thread's own is taken. Not
        # of each: who looks at that clock is the first to be put off the processor.
        wary = self._wary
        clock = time.thread_time_ns if wary else time.monotonic_ns
        started_ns = clock()
        batch = self._collect(raw)
        if batch is None:
            return
        recipe = self._frames.recognise(batch, request)
        # A picture that is here waits all the same for the loss that it is shown with.
        if not step.here or (recipe is None and lies_on_device(batch)):
            self._send_for(batch, step, request, step_ns)
        elif self._add(batch, step, request, now_ns, step_ns, recipe=recipe):
            self._relay.wake()
        spent_ns = clock() - started_ns
        self._wary = is_dear(spent_ns)
        if wary:
            self._pace.spent(spent_ns, now_ns)

    def _add(
        self,
        batch: BatchEvent,
        step: _Step,
        request: FrameRequest,
        now_ns: int,
        step_ns: int,
        rows: Array | None = None,
        recipe: Recipe | None = None,
    ) -> bool:
        fields = step.fields(self._batch_size(batch))
        if batch.mean_loss is not None and not self._is_loss(batch.mean_loss, step.loss):
            batch = replace(batch, sample_losses=None)
        return self._frames.add(batch, fields, request, now_ns, step_ns, rows, recipe)

    def _is_loss(self, mean: Any, loss: float | None) -> bool:
        number = self._number("mean_loss", mean)
        if number is None or loss is None:
            return False
        return isclose(number, loss, rel_tol=_LOSS_SLACK, abs_tol=1e-6)

    def _send_for(
        self, batch: BatchEvent, step: _Step, request: FrameRequest, step_ns: int
    ) -> None:
        """Have the samples sent, and shown once they are here."""
        sent = self._frames.send_for(batch, request)
        if sent is None:
            return
        self._picture_under_way = True

        def show(landed: bool) -> None:
            self._picture_under_way = False
            if not landed:
                self._frames.give_up()
                return
            batch = sent.landed()  # before its rows are asked for: only now all are known
            if self._add(batch, step, request, time.monotonic_ns(), step_ns, sent.rows):
                self._relay.wake()

        self._under_way.put(sent.ready, show)

    def end_epoch(self, event: EpochEvent, write: Callable[[dict[str, Any]], None]) -> None:
        """Have the EPOCH record's fields written, and begin the next epoch."""
        now_ns = time.monotonic_ns()
        given = {
            name: value for name in _EPOCH_NUMBERS if (value := getattr(event, name)) is not None
        }
        late: dict[Any, Any] = {}
        late_metrics: dict[Any, Any] = {}
        told = self.numbers(given, late, self._failed_of_epoch)
        numbers = self.numbers(event.metrics, late_metrics, self._failed_of_epoch)
        metrics = {name.replace("\0", " "): number for name, number in numbers.items()}
        record = {
            "epoch": self.epoch,
            "global_step": self.newest_step or 0,
            "duration_ms": (now_ns - self._epoch_started_ns) // 1_000_000,
            "attempt": self.attempt,
            "time_ms": time.time() * 1e3,
        }
        self._epoch_started_ns = now_ns
        self.epoch += 1
        self.batch_index = 0
        if not late and not late_metrics and not self.waiting:
            write({**told, "metrics": metrics, **record})
            return

        def land(found: Mapping[Any, float]) -> None:
            told.update((name, found[key]) for key in found if (name := key[0]) and not key[1])
            metrics.update((key[1], value) for key, value in found.items() if key[1])
            write({**told, "metrics": metrics, **record})

        both = {(name, ""): value for name, value in late.items()}
        both.update({("", name): value for name, value in late_metrics.items()})
        self._when_landed(both, land)

    def resume_at(self, global_step: int, epoch: int, attempt: int | None) -> None:
        """Continue the counts of a resumed run; steps trained before are a later attempt.

        Raises:
            ValueError: A count is negative or beyond all measure.
            TypeError: A count is no whole number.
        """
        if attempt is None:
            attempt = self.attempt + (index(global_step) < self.global_step)
        counts = (index(global_step), index(epoch), index(attempt))
        for count, limit in zip(counts, (_MOST_STEPS, _MOST_EPOCHS, _MOST_EPOCHS), strict=True):
            if not 0 <= count < limit:
                raise ValueError(f"step, epoch and attempt are {counts}: {count} is not from 0")
        self.global_step, self.epoch, self.attempt = counts
        self.batch_index = 0

    def settle(self) -> None:
        """Write what has come from a device meanwhile."""
        self._under_way.settle()

    def finish(self, timeout_s: float) -> None:
        """Wait for what is on its way from a device: the training is over."""
        self._under_way.finish(timeout_s)

    def close(self) -> None:
        """Let go of the channel; a frame that still waits for samples is given up."""
        self._under_way.clear()
        self._frames.close()

    def _number(
        self,
        name: str,
        value: Any,
        late: dict[Any, Any] | None = None,
        key: Any = None,
        failed: Callable[[str, Exception], None] | None = None,
    ) -> float | None:
        """Return a number; one on a device goes to those that come late, under its key."""
        tell = failed or self._failed
        try:
            return scalar(value)
        except OnDeviceError as error:
            shape = tuple(value.shape)
            if late is None or not can_fetch(value):
                tell(name, error)
            elif prod(shape) != 1:
                text = f"an array of shape {shape}, where one number was expected"
                tell(name, ValueError(text))
            else:
                late[name if key is None else key] = value
            return None
        except Exception as error:  # noqa: BLE001 - the door of a stranger's number; told, counted
            tell(name, error)
            return None

    def _whole(self, name: str, value: Any) -> int | None:
        if value is None:
            return None
        number = value if type(value) is int else self._number(name, value)
        if number is None:
            return None
        if 0 <= number < _MOST_STEPS:
            return round(number)
        self._failed(name, ValueError(f"{number} is no count"))
        return None

    def numbers(
        self,
        values: Mapping[str, Any],
        late: dict[Any, Any],
        failed: Callable[[str, Exception], None] | None = None,
    ) -> dict[str, float]:
        """Return those values that are numbers; tell of the others, but for those on a device."""
        numbers = {}
        for name, value in values.items():
            if type(name) is not str:
                name = str(name)  # noqa: PLW2901 - a name like any other from here on
            # What most steps tell, and quickly.
            plain = type(value) is float
            number = value if plain else self._number(name, value, late, failed=failed)
            if number is not None:
                numbers[name] = number
        return numbers

    def _batch_size(self, batch: BatchEvent) -> int | None:
        if batch.batch_size is not None:
            return self._whole("batch_size", batch.batch_size)
        for value in (batch.images, batch.targets, batch.outputs, batch.texts):
            if value is not None:
                try:
                    return length(value)
                except Exception:  # noqa: BLE001 - a stranger's array, told of where it is read
                    return None
        return None
