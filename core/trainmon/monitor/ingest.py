"""Takes in telemetry: checks a message, keeps it, shows it, acknowledges it. In that order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from grpclib.const import Status

from trainmon.fields import field_in
from trainmon.monitor.progress import LOSS_SERIES
from trainmon.monitor.revival import record_of
from trainmon.monitor.store.base import Record, Store, StoreWriteError
from trainmon.monitor.validation import check_batch, check_metrics
from trainmon.monitor.wire_events import EventField
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.telemetry_pb2 import (
    ErrorCode,
    MetricData,
    MetricSeries,
    TelemetryRequest,
    TrainingStatus,
)

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.monitor.clock import Clock
    from trainmon.monitor.keeper import Keeper
    from trainmon.monitor.link import TrainerLink
    from trainmon.monitor.producer import Producer
    from trainmon.monitor.session import Session

__all__ = ["Ingest"]

_BATCH = TelemetryRequest.BATCH_DATA_FIELD_NUMBER
#: What a process may still say when it has said goodbye; heartbeats are answered before.
_AFTER_THE_END = frozenset({"command_result", "performance_data"})


class Ingest:
    """Takes in the messages of every stream.

    Args:
        settings: The monitor's settings.
        clock: The clocks.
        store: Where history is kept.
        keeper: Hears of streams whose records cannot be kept.
        on_valid: Called with a session's id and each message that was found valid.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        store: Store,
        keeper: Keeper,
        on_valid: Callable[[str, TelemetryRequest], None] | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._keeper = keeper
        self._on_valid = on_valid
        self._takers: dict[str, _Taker] = {
            "batch_data": self._batch,
            "command_result": self._command_result,
            "epoch_data": self._epoch,
            "metric_data": self._metrics,
            "performance_data": self._performance,
            "status_update": self._status,
        }

    async def take(
        self,
        link: TrainerLink,
        session: Session,
        producer: Producer,
        request: TelemetryRequest,
        data: bytes | None = None,
    ) -> None:
        """Take in one message of a stream that is bound to its session and producer.

        Args:
            link: The stream.
            session: Its session.
            producer: Its producer.
            request: The message; it may be changed.
            data: The same as it came; None: it is not at hand.
        """
        session.heard_from(producer)
        kind = request.WhichOneof("payload")
        if kind == "heartbeat":
            link.answer_heartbeat(request.heartbeat)
            producer.life.seen(request.heartbeat.trainer)
            session.refresh_for(producer)
            return
        sequence, told = _sequence(request), _Telling(link, session, data)
        joined = _joined(request)
        if sequence is not None and sequence < joined:
            told.invalid(
                f"sequence is {sequence}, but should be {joined} or more, as the message holds "
                f"{joined} record(s): it was dropped"
            )
            return
        if _is_known(producer, sequence):
            link.acknowledge(producer.sequences.stored)
            return
        if producer.life.ended and not producer.end_is_unkept and kind not in _AFTER_THE_END:
            _refuse_closed(link, session)
            return
        if sequence is not None and link.held_back:
            return  # one before it is not kept: this one will come again too
        if not await self._keep_and_show(told, producer, request, kind, sequence):
            return
        if sequence is not None:
            producer.sequences.commit(sequence, joined)
        link.acknowledge(sequence)
        session.refresh_for(producer)

    async def _keep_and_show(
        self,
        told: _Telling,
        producer: Producer,
        request: TelemetryRequest,
        kind: str | None,
        sequence: int | None,
    ) -> bool:
        """Return whether it is kept, or nothing of it need be."""
        taker = self._takers.get(kind or "")
        if taker is None:
            told.invalid("the message holds nothing this monitor knows: it was dropped")
            nothing: _Taken = (Record(producer.id, sequence), _nothing)
            record, show = nothing
        else:
            record, show = taker(told, producer, request)
        answer: Sequence[str] | None = None
        if sequence is not None or _is_for_the_history(record):
            answer = await self._keep(told, record)
            if answer is None and sequence is not None:
                return False
            if getattr(answer, "overlaps", False):
                _refuse_overlapping(told, producer, record)
                return False
        position: int | None = getattr(answer, "position", None)
        if position is None and _is_known(producer, sequence):
            return True  # another stream of it has brought and shown it meanwhile
        show(position)
        if kind == "status_update":
            producer.end_is_unkept = False
        if self._on_valid is not None and taker is not None:
            self._on_valid(told.session.id, request)
        return True

    async def _keep(self, told: _Telling, record: Record) -> Sequence[str] | None:
        """Return what the store says; None where it could not be kept."""
        try:
            await self._keeper.require(told.session)
            answer = await self._store.append(told.session.id, record)
        except StoreWriteError as error:
            self._cannot_keep(told, error, hold_back=record.sequence is not None)
            return None
        if not getattr(answer, "overlaps", False):
            told.link.cannot_keep = False
            for refused in answer:
                told.exhausted(refused)
        return answer

    def _cannot_keep(self, told: _Telling, error: StoreWriteError, *, hold_back: bool) -> None:
        """Say it once to the training and on the page, and let the rest of the stream go on."""
        link = told.link
        if not link.cannot_keep:
            link.cannot_keep = True
            told.exhausted(f"the monitor cannot write the history: {error.reason}")
        if hold_back and not link.held_back:
            link.held_back = True
            self._keeper.hold_back(link)

    def _batch(self, told: _Telling, producer: Producer, request: TelemetryRequest) -> _Taken:
        batch, session = request.batch_data, told.session
        as_it_came = self._mend(told, producer, request)
        has_samples = bool(batch.images or batch.texts)
        losses = MetricData()
        if batch.HasField("batch_loss") and not producer.sends_metric_data:
            losses.timestamp_ms = batch.timestamp_ms
            losses.series.append(_loss_row(producer, request, self._clock.wall_ms()))
        keep = has_samples and self._is_key_frame(producer, request)

        def payload() -> bytes | memoryview:
            came = field_in(told.data, _BATCH) if as_it_came and told.data else None
            return batch.SerializeToString() if came is None else came

        def show(stored: int | None) -> None:
            producer.life.stepped()
            if session.is_first_rank(producer):
                session.progress.batch(batch)
            if has_samples or session.newest_batch is None:
                session.newest_batch = batch
            if losses.series:
                session.hub.publish(EventField.METRIC_DATA, losses.SerializeToString(), stored)
            session.hub.publish_picture(payload, has_samples=has_samples)

        series = tuple(losses.series)
        frame = batch if keep else None
        return Record(
            producer.id,
            _sequence(request),
            series=series,
            key_frame=frame,
            timestamp_ms=losses.timestamp_ms,
        ), show

    def _mend(self, told: _Telling, producer: Producer, request: TelemetryRequest) -> bool:
        """Drop what is bad of a batch, and number it; return whether it is still as it came."""
        batch, names = request.batch_data, len(told.session.registration.class_names)
        corrections, step = producer.pictures.corrections, batch.global_step
        complaints = check_batch(batch, names, producer.pictures)
        for complaint in complaints:
            told.invalid(complaint)
        _count_steps(producer, request)
        mended = complaints or producer.pictures.corrections > corrections
        return not mended and batch.global_step == step

    def _is_key_frame(self, producer: Producer, request: TelemetryRequest) -> bool:
        """A numbered picture is one; of a producer that numbers nothing, one now and then."""
        if request.HasField("sequence"):
            return True
        if producer.sequences.stored is not None or producer.sends_metric_data:
            return False
        now, last = self._clock.monotonic(), producer.kept_picture_at
        if last is not None and now - last < self._settings.key_frame_interval_s:
            return False
        producer.kept_picture_at = now
        return True

    def _metrics(self, told: _Telling, producer: Producer, request: TelemetryRequest) -> _Taken:
        data, session = request.metric_data, told.session
        for complaint in check_metrics(data):
            told.invalid(complaint)
        for series in data.series:
            series.name = _name_of(producer, series.name)

        def show(stored: int | None) -> None:
            producer.life.stepped()
            session.progress.metrics(data)
            session.hub.publish(EventField.METRIC_DATA, data.SerializeToString(), stored)

        return Record(
            producer.id,
            _sequence(request),
            _joined(request),
            series=tuple(data.series),
            timestamp_ms=data.timestamp_ms,
        ), show

    def _epoch(self, told: _Telling, producer: Producer, request: TelemetryRequest) -> _Taken:
        epoch, session = request.epoch_data, told.session

        first = session.is_first_rank(producer)

        def show(stored: int | None) -> None:
            if first:
                session.epochs.add(epoch)
                session.progress.epoch_ended(epoch, session.registration.batches_per_epoch)
                session.hub.publish(EventField.EPOCH_DATA, epoch.SerializeToString(), stored)

        # The others' epochs are the first rank's, and would stand in the place of it.
        return Record(producer.id, _sequence(request), epoch=epoch if first else None), show

    def _performance(self, told: _Telling, producer: Producer, request: TelemetryRequest) -> _Taken:
        data, session = request.performance_data, told.session

        def show(_: int | None) -> None:
            if session.is_first_rank(producer):
                session.performance = data
                session.progress.performance(data)
                session.hub.publish(EventField.PERFORMANCE_DATA, data.SerializeToString())

        return Record(producer.id, _sequence(request)), show

    def _status(self, told: _Telling, producer: Producer, request: TelemetryRequest) -> _Taken:
        update, session = request.status_update, told.session
        if update.status not in TrainingStatus.values():
            told.invalid(f"status is {update.status}, which this monitor does not know")

        # What the training says takes effect at once, for the record is of the session after it.
        before = producer.life.ended
        producer.life.said(update.status, update.trainer)
        producer.end_is_unkept = producer.life.ended and not before
        complaint = session.learn(update.details) if update.HasField("details") else ""
        if complaint:
            told.invalid(complaint)
        failed = update.status == TrainingStatus.TRAINING_STATUS_FAILED
        speaks = failed or session.is_first_rank(producer)
        if speaks:
            session.said(update.message)

        def show(stored: int | None) -> None:
            if not producer.id:
                step = session.progress.global_step
                session.commands.shown_by(update.status, None if step is None else step + 1)
            if speaks:
                session.hub.publish(EventField.STATUS_UPDATE, update.SerializeToString(), stored)

        now_ms = self._clock.wall_ms()
        known = record_of(session, now_ms, registration=update.HasField("details"))
        status = update if speaks else None
        return Record(producer.id, _sequence(request), status=status, session=known), show

    def _command_result(
        self, told: _Telling, producer: Producer, request: TelemetryRequest
    ) -> _Taken:
        result = request.command_result
        complaint = told.session.commands.answered(result)
        if complaint:
            told.invalid(f"{complaint}: the result was dropped")
        record = told.session.commands.get(result.command_id)
        kept = None
        if record is not None:
            kept = CommandRecord()
            kept.CopyFrom(record)
        return Record(producer.id, _sequence(request), command=kept), _nothing


_Taken: TypeAlias = tuple[Record, Callable[[int | None], None]]
_Taker: TypeAlias = Callable[["_Telling", "Producer", TelemetryRequest], _Taken]


class _Telling:
    """Tells a training, and the session's viewers, what was wrong with a message."""

    def __init__(self, link: TrainerLink, session: Session, data: bytes | None) -> None:
        self.link = link
        self.session = session
        self.data = data

    def invalid(self, message: str) -> None:
        """Part of a message is bad; the rest was kept."""
        code = ErrorCode.ERROR_CODE_INVALID_MESSAGE
        self.session.note_error(self.link.error(code, message))

    def exhausted(self, message: str) -> None:
        """Part of a message is beyond a limit; the rest was kept."""
        code = ErrorCode.ERROR_CODE_RESOURCE_EXHAUSTED
        self.session.note_error(self.link.error(code, message))


def _nothing(_: int | None) -> None:
    """There is nothing to show."""


def _is_for_the_history(record: Record) -> bool:
    kept = (record.series, record.key_frame, record.epoch, record.status, record.command)
    return any(kept)


def _is_known(producer: Producer, sequence: int | None) -> bool:
    return sequence is not None and producer.sequences.is_duplicate(sequence)


def _sequence(request: TelemetryRequest) -> int | None:
    return request.sequence if request.HasField("sequence") else None


def _joined(request: TelemetryRequest) -> int:
    return max(1, request.joined) if request.HasField("metric_data") else 1


def _refuse_closed(link: TrainerLink, session: Session) -> None:
    error = link.fail(
        ErrorCode.ERROR_CODE_SESSION_CLOSED,
        f"this process has ended its part of session {session.id}: register a new run, or the "
        "same run_key with another producer_id to go on with it",
    )
    if error is not None:
        session.note_error(error)


def _refuse_overlapping(told: _Telling, producer: Producer, record: Record) -> None:
    """End a stream that sends some of what is kept, in one message with what is not.

    Whoever registers again learns what is kept, and can send the rest.
    """
    reason = (
        f"a message holds {record.joined} records up to {record.sequence}, of which those up to "
        f"{producer.sequences.stored} or more are kept: register again, and send what is not"
    )
    told.invalid(f"{reason}; the stream ends")
    told.link.end(Status.ABORTED, reason)


def _count_steps(producer: Producer, request: TelemetryRequest) -> None:
    """Number the batches of a trainer that sends no steps: the original protocol had none."""
    batch = request.batch_data
    if batch.global_step:
        producer.counts_steps = True
    elif not (producer.counts_steps or producer.sends_metric_data):
        batch.global_step = 0 if producer.last_step is None else producer.last_step + 1
    producer.last_step = batch.global_step


def _loss_row(producer: Producer, request: TelemetryRequest, now_ms: int) -> MetricSeries:
    batch = request.batch_data
    return MetricSeries(
        name=_name_of(producer, LOSS_SERIES),
        steps=[batch.global_step],
        times=[batch.timestamp_ms or request.timestamp_ms or now_ms],
        values=[batch.batch_loss],
        attempt=batch.attempt,
    )


def _name_of(producer: Producer, series: str) -> str:
    """Return the name a series is kept under: only the first rank's go by their own."""
    return f"{series}/rank{producer.rank}" if producer.rank else series
