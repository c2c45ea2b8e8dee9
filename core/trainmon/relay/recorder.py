"""What the training told, made into what the monitor is to keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainmon import wire
from trainmon.channel import Kind, StepRecord
from trainmon.relay.commands import Commands
from trainmon.relay.entry import Entry, RecordKind
from trainmon.relay.epochs import EpochMarks, Epochs
from trainmon.relay.liveness import Liveness
from trainmon.relay.losses import LossCounter
from trainmon.relay.merging import halve, rows_in
from trainmon.relay.observers import Observers
from trainmon.relay.outbox import Outbox
from trainmon.relay.pace import Pace
from trainmon.relay.run_state import RunState
from trainmon.relay.scalars import Scalars
from trainmon.v1.control_pb2 import CommandResult, CommandState
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    MetricData,
    SessionDetails,
    StatusUpdate,
    TelemetryRequest,
    TrainerLiveness,
)

__all__ = ["Recorder"]

#: How long rows are held at most to be merged, in seconds, where little room is left for them.
_MOST_HELD_S, _LEAST_HELD_S = 5.0, 0.1

_STANDSTILLS = frozenset({"PAUSED", "EVALUATING"})
#: States that a step puts an end to, whatever the training has said.
_BEFORE_STEPS = _STANDSTILLS | {"STARTING"}
_STEPPING = TrainerLiveness.TRAINER_LIVENESS_STEPPING
_ENDS = frozenset(
    {
        CommandState.COMMAND_STATE_APPLIED,
        CommandState.COMMAND_STATE_REJECTED,
        CommandState.COMMAND_STATE_EXPIRED,
    }
)


class Recorder:
    """Takes the records of one training, in order.

    Args:
        run: What is known of the run.
        outbox: Where what is to be kept goes.
        losses: Where merged rows are counted.
        pace: The frame-rate tracker.
        liveness: Judges the training.
        observers: Are told.
    """

    def __init__(
        self,
        run: RunState,
        outbox: Outbox,
        losses: LossCounter,
        pace: Pace,
        liveness: Liveness,
        observers: Observers,
    ) -> None:
        self.run = run
        self.commands: Commands | None = None
        self._outbox = outbox
        self._losses = losses
        self._pace = pace
        self._liveness = liveness
        self._observers = observers
        self._scalars = Scalars()
        self._epochs = Epochs()
        self._status: Entry | None = None
        self._farewell: StatusUpdate | None = None
        self._kept_farewell = self._holds_goodbye = False
        self._held_since_s = 0.0
        self._marks = (0, self._epochs.marks())
        self._liveness.status(run.status)
        self._learn_lengths()

    @property
    def closing(self) -> bool:
        """Whether the run has ended, and nothing but the rest of its pictures comes."""
        return self._farewell is not None or self._kept_farewell

    @property
    def over(self) -> bool:
        """Whether the last state was kept, by this relay or by one before it."""
        return self._kept_farewell

    def follow(self, marks: EpochMarks | None, *, over: bool) -> None:
        """Go on where another relay has left off.

        Args:
            marks: What it knew of the epochs; None: that is lost.
            over: It has kept the last state.
        """
        if marks is None:
            self._epochs = Epochs(late=True)
        else:
            self._epochs.restore(marks)
        self._kept_farewell = over

    # --- what is held -----------------------------------------------------------------------------

    def before(self, kind: Kind, position: int) -> None:
        """Note where the next record begins.

        While records are held here, a relay that follows must read from the first of them: only
        steps and the goodbye are held, and whatever comes after steps flushes them first.
        """
        if kind is not Kind.STEP:
            self.flush()
        if not self._holding:
            self._marks = (position, self._epochs.marks())

    def kept(self, position: int) -> tuple[int, EpochMarks]:
        """Return from where a relay that follows must read, and what is known there.

        Args:
            position: Up to where the ring was read.
        """
        return self._marks if self._holding else (position, self._epochs.marks())

    @property
    def _holding(self) -> bool:
        return self._holds_goodbye or bool(self._scalars.rows)

    # --- records ----------------------------------------------------------------------------------

    def step(self, step: StepRecord) -> None:
        """A batch ended."""
        if self.run.status in _BEFORE_STEPS:
            self.status(
                {"status": "RUNNING", "time_ms": step.time_ms, "global_step": step.global_step}
            )
        self._pace.step(step)
        self._epochs.step(step)
        self._scalars.add(step)
        self._observers.batch(step)
        if self._scalars.full:
            self.flush()

    def epoch(self, fields: Mapping[str, Any]) -> None:
        """An epoch ended."""
        data = wire.epoch_data(fields, self._epochs.mean_loss(int(fields["epoch"])))
        self._epochs.judge(data)
        request = TelemetryRequest(epoch_data=data, timestamp_ms=data.timestamp_ms)
        self._outbox.add(RecordKind.EPOCH, request)
        self._observers.epoch(data)

    def status(self, fields: Mapping[str, Any]) -> None:
        """The training does something else now."""
        update = wire.status_update(fields, _STEPPING)
        self._enter(fields, update.timestamp_ms)
        self._keep_status(update)

    def details(self, fields: Mapping[str, Any]) -> None:
        """Something became known of the run."""
        self.learn(wire.session_details(fields))

    def result(self, fields: Mapping[str, Any]) -> None:
        """Something became of a command."""
        result = wire.command_result(fields)
        if self.commands is not None:
            self.commands.finished(result)

    def close(self, fields: Mapping[str, Any]) -> None:
        """The session ends. Its last state is kept by :meth:`finish`, after its last picture."""
        update = wire.status_update(fields, _STEPPING)
        self._enter(fields, update.timestamp_ms)
        self._farewell = update
        self._holds_goodbye = True

    # --- what the relay itself knows --------------------------------------------------------------

    def died(self, pid: int) -> None:
        """The training is gone without a word."""
        self._liveness.died = True
        fields = {
            "status": "FAILED",
            "message": f"the training process (pid {pid}) died without saying goodbye",
            "global_step": self._pace.global_step if self._pace.steps else None,
        }
        self.run.enter(fields)
        self._farewell = wire.status_update(fields, TrainerLiveness.TRAINER_LIVENESS_DIED)

    def learn(self, details: SessionDetails) -> None:
        """Keep what became known, if anything."""
        self.run.learn(details)
        self._learn_lengths()
        if not details.ByteSize():
            return
        if self._farewell is not None:
            # The run's state is its last already, and told before the last picture it would end
            # the run too early: the monitor takes nothing after it.
            self._farewell.details.MergeFrom(details)
        else:
            fields = {"status": self.run.status, "message": self.run.message}
            self._keep_status(wire.status_update(fields, _STEPPING, details))

    def note(self, text: str) -> None:
        """Tell people something, once."""
        self.learn(SessionDetails(notes=[text]))

    def key_frame(self, batch: BatchData) -> bool:
        """Keep a picture for the history; False: there is no room."""
        request = TelemetryRequest(batch_data=batch, timestamp_ms=batch.timestamp_ms)
        return self._outbox.add(RecordKind.KEY_FRAME, request) is not None

    def answer(self, result: CommandResult) -> None:
        """Keep what became of a command."""
        request = TelemetryRequest(command_result=result, timestamp_ms=result.timestamp_ms)
        self._outbox.add(RecordKind.RESULT, request)
        if result.state in _ENDS:
            self._observers.result(result)

    def announce(self, *, anew: bool) -> None:
        """Say again what the run does, to a monitor that was away; ``anew``: that knew nothing."""
        waiting = self._outbox.waits(self._status)
        if self.closing or (waiting and not (anew and self.run.notes)):
            return
        step = self._pace.global_step if self._pace.steps else None
        self._keep_status(self.run.announcement(_STEPPING, step, with_notes=anew))

    def flush_due(self, now_s: float) -> None:
        """Keep the scalars gathered so far; where little room is left, wait for more to merge."""
        if not self._scalars.rows:
            self._held_since_s = now_s
            return
        times = self._outbox.halvings
        held_s = min(_MOST_HELD_S, _LEAST_HELD_S * 2**times) if times else 0.0
        if now_s - self._held_since_s >= held_s:
            self.flush()
            self._held_since_s = now_s

    def flush(self) -> None:
        """Keep the scalars gathered so far."""
        if not self._scalars.rows:
            return
        for data in self._scalars.flush():
            kept = self._thinned(data)
            request = TelemetryRequest(metric_data=kept, timestamp_ms=kept.timestamp_ms)
            self._outbox.add(RecordKind.SCALARS, request)

    def _thinned(self, data: MetricData) -> MetricData:
        """Merge rows, the more the less room there is."""
        times = self._outbox.halvings
        if not times:
            return data
        rows = rows_in(data)
        # Rows merged for the first time get three columns more: halved once, they would not shrink.
        for _ in range(times + 1):
            data = halve(data)
        self._losses.add(RecordKind.SCALARS.value, "merged", rows - rows_in(data))
        return data

    def finish(self) -> None:
        """Keep the last state; nothing comes after it."""
        if self._farewell is None or self._kept_farewell or self._outbox.closed:
            return
        self.flush()
        self._keep_status(self._farewell, last=True)
        self._kept_farewell, self._holds_goodbye = True, False
        self._observers.ended(self._farewell)

    # --- helpers ----------------------------------------------------------------------------------

    def _enter(self, fields: Mapping[str, Any], time_ms: float) -> None:
        before = self.run.status
        self.run.enter(fields)
        self._liveness.status(self.run.status)
        if self.run.status in _STANDSTILLS:
            self._pace.suspend(time_ms)
        else:
            self._pace.resume(time_ms, evaluated=before == "EVALUATING")

    def _keep_status(self, update: StatusUpdate, *, last: bool = False) -> None:
        request = TelemetryRequest(status_update=update, timestamp_ms=update.timestamp_ms)
        self._status = self._outbox.add(RecordKind.STATUS, request, last=last)

    def _learn_lengths(self) -> None:
        registration = self.run.registration
        if registration.HasField("batches_per_epoch"):
            self._pace.batches_per_epoch = registration.batches_per_epoch
        if registration.HasField("total_epochs"):
            self._pace.total_epochs = registration.total_epochs
