"""A run as its training sees it. Made by :func:`trainmon.start_session`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trainmon.capture import bare
from trainmon.capture.controls import ControlPoint, Knob
from trainmon.capture.details import details, merge
from trainmon.capture.door import FailureLog, counts_of, guarded
from trainmon.capture.goodbye import say_goodbye
from trainmon.capture.lifecycle import ENDS, STATES, ending_of, forget, watch
from trainmon.capture.opening import open_channel
from trainmon.capture.ranks.peers import Peers
from trainmon.capture.relay_process import RelayProcess
from trainmon.capture.steps import StepRecorder
from trainmon.channel import Kind, Word, pack_json
from trainmon.errors import ConfigurationError, StopTraining
from trainmon.events import ControlSpec, ControlType, EpochEvent, FrameRequest, SessionInfo

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.manager import PluginManager

__all__ = ["Session"]

_NOTHING = {type(None)}


class Session:
    """One run in one process. Made by :func:`start_session`; use it as a context manager.

    No method raises into the training, but for :meth:`control_point`, which raises StopTraining
    when someone asked the run to stop, and which ``with session`` swallows. The calls of the loop
    come from one thread; ``describe``, ``status`` and ``add_control`` may come from any.

    Args:
        info: What the run is.
        settings: Validated settings.
        normalization: ``mean`` and ``std`` per channel of pixels from 0 to 1; None: unknown.
        adapter: Name of the plugin that feeds this session.
        manager: Where that plugin is.
    """

    def __init__(
        self,
        info: SessionInfo,
        settings: Settings,
        normalization: Mapping[str, Sequence[float]] | None,
        adapter: str,
        manager: PluginManager,
    ) -> None:
        self.info = info
        self.adapter = adapter
        self.control_context: Any = None
        """What the loop gave to its last control point; the adapter reads it."""
        self._settings = settings
        self._manager = manager
        self._channel = open_channel(settings.buffer_bytes)
        self._words = self._channel.block.words
        self._failures = FailureLog(self._words)
        manager.watch(adapter, self, self.failed)
        self._details: dict[str, Any] = {}
        self._status, self._message = "STARTING", ""
        self._closed, self._last_counts = False, dict[str, int]()
        self._relay = RelayProcess(self._channel, settings, self._hello)
        self._steps = StepRecorder(
            self._channel,
            self._relay,
            settings,
            normalization,
            lambda raw: manager.collect_batch(adapter, self, raw),
            self.failed,
            first_rank=info.rank == 0,
        )
        self._controls = ControlPoint(
            self._channel,
            self._relay,
            lambda command: manager.apply_control(adapter, self, command),
            self._event,
            lambda: self._steps.global_step,
            lambda: self._status,
            self.failed,
            settings.pause_orphan_timeout_s,
        )
        self._controls.check = lambda command: manager.check_control(adapter, self, command)
        self._controls.peers = Peers(self._controls, info.world_size)

    # What adapters and people read.

    @property
    def global_step(self) -> int:
        """The step the next batch will end: batches since the run began, from 0."""
        return self._steps.global_step

    @property
    def batch_index(self) -> int:
        """The next batch within the epoch, from 0."""
        return self._steps.batch_index

    @property
    def epoch(self) -> int:
        """The epoch under way, from 0."""
        return self._steps.epoch

    @property
    def attempt(self) -> int:
        """How often steps have been trained again, from 0."""
        return self._steps.attempt

    @property
    def closed(self) -> bool:
        """Whether the session has ended here."""
        return self._closed

    @property
    def paused(self) -> bool:
        """Whether the training waits at a control point."""
        return not self._closed and self._controls.paused

    @property
    def relay_pid(self) -> int | None:
        """Process id of the relay; None while there is none."""
        return self._relay.pid

    @property
    def counts(self) -> dict[str, int]:
        """What was refused, thinned or failed so far, and bytes of pictures copied."""
        if self._closed:
            return dict(self._last_counts)
        return {**counts_of(self._words), "relay_restarts": self._relay.restarts}

    # The loop.

    @guarded
    def begin_step(self) -> FrameRequest | None:
        """Return what is wanted of the step that begins, or None; the same until it ends.

        For adapters that must capture before the batch ends; ``batch_end`` asks by itself.
        """
        return None if self._closed else self._steps.begin()

    @guarded
    def batch_end(
        self,
        *,
        images: Any = None,
        outputs: Any = None,
        targets: Any = None,
        loss: Any = None,
        metrics: Mapping[str, Any] | None = None,
        sample_losses: Any = None,
        texts: Sequence[str] | None = None,
        output_texts: Sequence[str] | None = None,
        target_texts: Sequence[str] | None = None,
        tokens: Sequence[Sequence[str]] | None = None,
        token_losses: Sequence[Any] | None = None,
        output_boxes: Sequence[Any] | None = None,
        target_boxes: Sequence[Any] | None = None,
        batch_size: int | None = None,
        optimizer_step: int | None = None,
        learning_rate: float | None = None,
    ) -> None:
        """Tell that a batch has ended. Every argument is optional and only read.

        Args:
            images: (B, H, W), (B, H, W, C) or (B, C, H, W); uint8 or float.
            outputs: Logits or probabilities, (B, classes) or of every pixel; or values, (B,).
            targets: Class indices, (B,) or of every pixel; one-hot or multi-hot; or values.
            loss: Unscaled loss of the batch. NaN and infinities are values.
            metrics: Further scalars by name.
            sample_losses: Loss of each sample, (B,).
            texts: Samples that are text.
            output_texts: What the model wrote.
            target_texts: What it should have written.
            tokens: Of each sample, as text.
            token_losses: Of each sample, in nats.
            output_boxes: Of each sample boxes, labels and scores; see ``BatchEvent``.
            target_boxes: Likewise, what was there.
            batch_size: Samples in the batch; unset: the length of the arrays.
            optimizer_step: The framework's own count.
            learning_rate: Rate in force; unset: read from what ``control_point`` was given.
        """
        if self._closed:
            return
        now_ns = time.monotonic_ns()
        raw = None
        if self._steps.is_wanted(now_ns):
            shown = (
                *(images, outputs, targets, sample_losses, texts, output_texts, target_texts),
                *(tokens, token_losses, output_boxes, target_boxes, batch_size),
            )
            if {*map(type, shown)} != _NOTHING:
                raw = dict(zip(bare.SHOWN, shown, strict=True))
        told = bare.scalars_told(self, metrics, learning_rate)
        self._steps.end(raw, loss, told, optimizer_step, now_ns)
        if self._status == "STARTING":
            self._status = "RUNNING"  # the relay tells it with the first step
            self._relay.wake()

    @guarded
    def step_ended(
        self,
        raw: Any,
        *,
        loss: Any = None,
        metrics: Mapping[str, Any] | None = None,
        optimizer_step: int | None = None,
    ) -> None:
        """Tell that a batch has ended, as adapters do; the scalars come here, not in the batch.

        Args:
            raw: What the adapter captured; handed back to its ``trainmon_collect_batch``, and
                only when a picture is due. None: nothing.
            loss: Unscaled loss of the batch.
            metrics: Further scalars by name.
            optimizer_step: The framework's own count.
        """
        if self._closed:
            return
        self._steps.end(raw, loss, metrics, optimizer_step)
        if self._status == "STARTING":
            self._status = "RUNNING"
            self._relay.wake()

    @guarded
    def epoch_end(
        self,
        *,
        average_loss: Any = None,
        average_accuracy: Any = None,
        validation_loss: Any = None,
        validation_accuracy: Any = None,
        learning_rate: Any = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell that an epoch has ended. Every argument is optional.

        Args:
            average_loss: Mean training loss; unset: the mean of the batch losses that were told.
            average_accuracy: Training accuracy, 0 to 1.
            validation_loss: Loss on the validation set.
            validation_accuracy: Accuracy on the validation set, 0 to 1.
            learning_rate: At the end of the epoch; unset: read as in ``batch_end``.
            metrics: Further scalars by name.
        """
        event = EpochEvent(
            average_loss=average_loss,
            average_accuracy=average_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            learning_rate=bare.rate_told(self, learning_rate),
            metrics=metrics or {},
        )
        self.epoch_ended(event)

    @guarded
    def epoch_ended(self, raw: Any) -> None:
        """Tell that an epoch has ended, as adapters do; ``raw`` is what they captured."""
        if self._closed:
            return
        event = self._manager.collect_epoch(self.adapter, self, raw) or EpochEvent()
        self._steps.end_epoch(event, lambda record: self._event(Kind.EPOCH, record))

    def control_point(self, *optimizers: Any, scheduler: Any = None) -> None:
        """Take commands: change what is asked for, wait while paused.

        Args:
            optimizers: Whose learning rate may be changed.
            scheduler: What drives their rates: one, or a sequence.

        Raises:
            StopTraining: Someone asked the run to stop.
        """
        known = self.control_context
        self.visit_control_point(bare.context_of(optimizers, scheduler, known))

    @guarded
    def visit_control_point(self, context: Any) -> None:
        """Take commands, as adapters do; they find ``context`` as ``control_context``.

        Raises:
            StopTraining: Someone asked the run to stop.
        """
        if self._closed:
            return
        if self._steps.waiting:
            self._steps.settle()
        if context is None or context is not self.control_context:
            self._meet(context)
        self._controls.visit()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Show the run as evaluating while the block runs, and then as what it did before."""
        before = self._status
        self.status("EVALUATING")
        try:
            yield
        finally:
            if self._status == "EVALUATING":
                self.status(before)

    @guarded
    def join_ranks(self) -> None:
        """Join the other ranks now; else the first control point does it."""
        if self._controls.peers is not None:
            self._controls.peers.join()

    # What becomes known, and knobs.

    @guarded
    def add_control(
        self,
        /,
        name: str,
        set: Callable[[Any], object],  # noqa: A002 - reads as what it is: get and set
        get: Callable[[], Any] | None = None,
        *,
        type: ControlType | str = ControlType.NUMBER,  # noqa: A002 - the wire's name for it
        **spec: Any,
    ) -> None:
        """Offer a knob on the page.

        Args:
            name: By which it is known; ``save_checkpoint`` and ``evaluate`` become those buttons.
            set: Called at a control point, on the training's thread, with the new value.
            get: Returns the value in force.
            type: Kind of value.
            spec: Further fields of :class:`trainmon.events.ControlSpec`.
        """
        kind = ControlType(type) if isinstance(type, str) else type
        if name in ("save_checkpoint", "evaluate"):
            kind = ControlType.TRIGGER
        current = float(get()) if get is not None else None
        title = spec.pop("title", name.replace("_", " ").capitalize())
        declared = ControlSpec(name=name, title=title, type=kind, current_value=current, **spec)
        self._controls.knobs[name] = Knob(declared, set, get)
        self.describe(controls=[declared])

    @guarded
    def describe(
        self,
        *,
        class_names: Sequence[str] | None = None,
        total_epochs: int | None = None,
        batches_per_epoch: int | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        controls: Sequence[ControlSpec] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Tell what became known of the run only after it was registered."""
        if self._closed:
            return
        news = details(
            class_names=class_names,
            total_epochs=total_epochs,
            batches_per_epoch=batches_per_epoch,
            hyperparameters=hyperparameters,
            controls=controls,
            notes=notes,
        )
        self._event(Kind.DETAILS, news)
        merge(self._details, news)

    @guarded
    def status(self, status: str, message: str = "") -> None:
        """Show another TrainingStatus, by its name without the prefix; ends are for ``close``."""
        if self._closed:
            return
        if status not in STATES:
            raise ConfigurationError("status", status, f"one of {', '.join(STATES)}")
        self._event(Kind.STATUS, self._status_fields(status, message))

    @guarded
    def resume_at(self, global_step: int, epoch: int, *, attempt: int | None = None) -> None:
        """Continue the counts of a run that was resumed from a checkpoint, at a batch 0.

        Args:
            global_step: The step that the next batch will end, from 0.
            epoch: The epoch that goes on, from 0.
            attempt: How often steps have been trained again, from 0; unset: once more where this
                process has already trained the step.
        """
        self._steps.resume_at(global_step, epoch, attempt)

    # The end.

    def close(self, status: str = "COMPLETED", message: str = "") -> None:
        """End the session; idempotent, never raises, waits at most TRAINMON_EXIT_TIMEOUT.

        Args:
            status: COMPLETED, STOPPED or FAILED.
            message: For people.
        """
        if self._closed:
            return
        try:
            self._say_goodbye(status, message)
        finally:  # Ctrl-C may end the wait
            self._manager.watch(self.adapter, self, None)
            self._manager.save_failures()
            forget(self)
            self._let_go()

    @guarded
    def _say_goodbye(self, status: str, message: str) -> None:
        self._controls.leave(self._settings.exit_timeout_s / 2)
        if status not in ENDS:
            self.failed("close", ConfigurationError("status", status, f"one of {', '.join(ENDS)}"))
            status = "COMPLETED"
        self._steps.finish(self._settings.exit_timeout_s / 2)
        record = pack_json(Kind.CLOSE, self._status_fields(status, message))
        say_goodbye(self._channel, self._relay, record, self._settings.exit_timeout_s)

    def abandon(self) -> None:
        """Close the descriptors and do no more: this is a forked child's copy."""
        self._let_go(forked=True)

    def _let_go(self, *, forked: bool = False) -> None:
        """Keep nothing: not the memory, not the descriptors, nothing of the user's."""
        self._last_counts = self.counts
        self._closed = True
        self.control_context = None
        self._relay.let_go(forked=forked)
        self._controls.close()
        self._steps.close()
        self._channel.close()

    def __enter__(self) -> Session:  # noqa: PYI034 - Self is not in typing before 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.close(*ending_of(error))
        # Another session's stop goes on to that session's `with`.
        return isinstance(error, StopTraining) and self._controls.asked(error)

    def failed(self, where: str, error: BaseException) -> None:
        """Count what went wrong in here; log it and show it on the page the first time."""
        if self._closed:
            return
        text = self._failures.add(where, error)
        if text is not None:
            self._event(Kind.DETAILS, {"notes": [text]})
            merge(self._details, {"notes": [text]})

    # Inside.

    def start(self) -> None:
        """Start the relay; without one the training goes on unseen."""
        self._relay.start()
        watch(self)

    def _hello(self) -> dict[str, Any]:
        return {
            "info": {**vars(self.info), "hyperparameters": dict(self.info.hyperparameters)},
            "details": dict(self._details),  # it may grow while this is written in another thread
            "status": self._status,
            "message": self._message,
            "adapter": self.adapter,
        }

    def _event(self, kind: Kind, fields: Mapping[str, Any]) -> None:
        """Write a record that has reserved room, and wake the relay."""
        if kind is Kind.STATUS:
            self._status, self._message = fields["status"], fields["message"]
        if not self._channel.records.write(pack_json(kind, fields)):
            self._words[Word.REFUSED_EVENTS] += 1
        self._relay.wake()

    def _status_fields(self, status: str, message: str) -> dict[str, Any]:
        return {
            "status": status,
            "message": str(message),
            "time_ms": time.time() * 1e3,
            "global_step": self._steps.newest_step,
        }

    def _meet(self, context: Any) -> None:
        """Ask a context that was not given before what it offers."""
        try:
            known = self.control_context is not None and bool(context == self.control_context)
        except Exception:  # noqa: BLE001 - a stranger's ==, as of arrays: then it is another one
            known = False
        if known:
            return
        self.control_context = context
        controls = self._manager.declare_controls(self.adapter, self, context)
        if controls:
            self.describe(controls=controls)
