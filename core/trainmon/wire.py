"""Between channel records and the wire: the one module that knows both.

Records come from the training's process and hold what a user's script gave; what the wire cannot
carry (a negative count, half a surrogate pair) is mended here, never refused with its record.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainmon.v1.control_pb2 import CommandResult, ControlCommand, ControlSpec
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    EpochData,
    MetricData,
    MetricSeries,
    RegisterTrainingSessionRequest,
    SessionDetails,
    StatusUpdate,
    TextData,
    TrainerLiveness,
)

__all__ = [
    "FINAL_STATUSES",
    "PROTOCOL_VERSION",
    "Columns",
    "batch_data",
    "command_fields",
    "command_result",
    "control_spec",
    "epoch_data",
    "fitting",
    "learn",
    "metric_data",
    "metric_series",
    "now_ms",
    "registration",
    "sample_text",
    "sample_texts",
    "session_details",
    "status_update",
]

PROTOCOL_VERSION = 1
#: The states after which nothing more comes, as records name them.
FINAL_STATUSES = frozenset({"COMPLETED", "STOPPED", "FAILED"})

#: Characters of a series' name that are sent.
_MAX_NAME = 256
#: Characters of one sample's text that are sent.
_MAX_TEXT = 20_000
_STATUS_PREFIX = "TRAINING_STATUS_"
_STATE_PREFIX = "COMMAND_STATE_"
_TYPE_PREFIX = "CONTROL_TYPE_"
_INFO_TEXTS = (
    "run_key",
    "producer_id",
    "session_name",
    "framework",
    "framework_version",
    "hostname",
)
_SPEC_NUMBERS = ("minimum", "maximum", "step", "current_value")
_SPEC_TEXTS = ("name", "title", "description", "unit", "unavailable_reason")
_EPOCH_NUMBERS = (
    "average_loss",
    "average_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
)


def now_ms() -> int:
    """Return ms since the epoch on this machine's clock."""
    return int(time.time() * 1e3)


def _text(value: object) -> str:
    """Return a text that UTF-8 can carry."""
    return "" if value is None else str(value).encode("utf-8", "replace").decode()


def _whole(value: Any, bits: int) -> int:
    """Return a whole number that an unsigned field of so many bits can carry."""
    return min(max(int(value), 0), (1 << bits) - 1)


def _time(fields: Mapping[str, Any]) -> int:
    value = fields.get("time_ms")
    return now_ms() if value is None else _whole(value, 64)


def _set_whole(message: Any, name: str, value: Any, bits: int) -> None:
    if value is not None:
        setattr(message, name, _whole(value, bits))


# --- the session ----------------------------------------------------------------------------------


def registration(info: Mapping[str, Any]) -> RegisterTrainingSessionRequest:
    """Return the registration of a run from SessionInfo's fields."""
    request = RegisterTrainingSessionRequest(
        protocol_version=PROTOCOL_VERSION,
        sends_metric_data=True,
        pid=_whole(info.get("pid") or 0, 32),
        rank=_whole(info.get("rank") or 0, 32),
        world_size=_whole(info.get("world_size") or 1, 32),
    )
    for name in _INFO_TEXTS:
        setattr(request, name, _text(info.get(name)))
    learn(request, session_details(info))
    return request


def session_details(fields: Mapping[str, Any]) -> SessionDetails:
    """Return what a DETAILS record (or a SessionInfo) says of a run."""
    details = SessionDetails(
        class_names=map(_text, fields.get("class_names") or ()),
        controls=map(control_spec, fields.get("controls") or ()),
        notes=map(_text, fields.get("notes") or ()),
    )
    _set_whole(details, "total_epochs", fields.get("total_epochs"), 32)
    _set_whole(details, "batches_per_epoch", fields.get("batches_per_epoch"), 64)
    for name, value in (fields.get("hyperparameters") or {}).items():
        details.hyperparameters[_text(name)] = _text(value)
    return details


def learn(request: RegisterTrainingSessionRequest, details: SessionDetails) -> None:
    """Add to a registration what became known since."""
    if details.class_names:
        del request.class_names[:]
        request.class_names.extend(details.class_names)
    if details.HasField("total_epochs"):
        request.total_epochs = details.total_epochs
    if details.HasField("batches_per_epoch"):
        request.batches_per_epoch = details.batches_per_epoch
    for name, value in details.hyperparameters.items():
        request.hyperparameters[name] = value
    known = {spec.name: spec for spec in request.controls}
    for spec in details.controls:
        if spec.name in known:
            known[spec.name].CopyFrom(spec)
        else:
            request.controls.append(spec)


def fitting(
    request: RegisterTrainingSessionRequest, max_bytes: int
) -> RegisterTrainingSessionRequest:
    """Return a copy of a registration without what makes it larger than the monitor takes."""
    copy = RegisterTrainingSessionRequest()
    copy.CopyFrom(request)
    for name in ("hyperparameters", "class_names", "controls"):
        if copy.ByteSize() <= max_bytes:
            break
        copy.ClearField(name)
    return copy


def control_spec(fields: Mapping[str, Any]) -> ControlSpec:
    """Return a control from events.ControlSpec's fields."""
    spec = ControlSpec(
        type=_TYPE_PREFIX + str(fields.get("type") or "NUMBER"),
        choices=map(_text, fields.get("choices") or ()),
        destructive=bool(fields.get("destructive")),
        logarithmic=bool(fields.get("logarithmic")),
    )
    for name in _SPEC_TEXTS:
        setattr(spec, name, _text(fields.get(name)))
    _set_numbers(spec, _SPEC_NUMBERS, fields)
    return spec


def _set_numbers(message: Any, names: Iterable[str], fields: Mapping[str, Any]) -> None:
    for name in names:
        value = fields.get(name)
        if value is not None:
            setattr(message, name, float(value))


def status_update(
    fields: Mapping[str, Any],
    trainer: TrainerLiveness = TrainerLiveness.TRAINER_LIVENESS_STEPPING,
    details: SessionDetails | None = None,
) -> StatusUpdate:
    """Return what a STATUS or CLOSE record says.

    Raises:
        ValueError: There is no such status.
    """
    update = StatusUpdate(
        timestamp_ms=_time(fields),
        status=_STATUS_PREFIX + str(fields["status"]),
        message=_text(fields.get("message")),
        trainer=trainer,
    )
    _set_whole(update, "global_step", fields.get("global_step"), 64)
    if details is not None:
        update.details.CopyFrom(details)
    return update


# --- steps and epochs -----------------------------------------------------------------------------


@dataclass
class Columns:
    """Rows of one series, column by column."""

    steps: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def metric_series(name: str, attempt: int, columns: Columns) -> MetricSeries:
    """Return rows of one series, none of them merged."""
    return MetricSeries(
        name=_text(name)[:_MAX_NAME],
        attempt=_whole(attempt, 32),
        steps=columns.steps,
        times=columns.times,
        values=columns.values,
    )


def metric_data(series: Sequence[MetricSeries]) -> MetricData:
    """Return series as one message."""
    return MetricData(series=series, timestamp_ms=now_ms())


def epoch_data(fields: Mapping[str, Any], average_loss: float | None) -> EpochData:
    """Return what an EPOCH record says.

    Args:
        fields: The record.
        average_loss: Mean of the batch losses, used where the record has none.
    """
    data = EpochData(
        timestamp_ms=_time(fields),
        epoch=_whole(fields["epoch"], 32),
        duration_ms=_whole(fields.get("duration_ms") or 0, 64),
        global_step=_whole(fields.get("global_step") or 0, 64),
        attempt=_whole(fields.get("attempt") or 0, 32),
    )
    if average_loss is not None:
        data.average_loss = average_loss
    _set_numbers(data, _EPOCH_NUMBERS, fields)
    for name, value in (fields.get("metrics") or {}).items():
        data.metrics[_text(name)] = float(value)
    return data


def sample_text(text: object) -> str:
    """Return a text of one sample as it is sent."""
    return _text(text)[:_MAX_TEXT]


def sample_texts(texts: Iterable[object]) -> list[TextData]:
    """Return samples that are text."""
    return [TextData(text=sample_text(text)) for text in texts]


def batch_data(fields: Mapping[str, Any]) -> BatchData:
    """Return what a FRAME record says of its step, with its texts and without its arrays."""
    data = BatchData(
        timestamp_ms=_time(fields),
        epoch=_whole(fields.get("epoch") or 0, 32),
        batch_index=_whole(fields.get("batch_index") or 0, 64),
        global_step=_whole(fields.get("global_step") or 0, 64),
        batch_size=_whole(fields.get("batch_size") or 0, 32),
        attempt=_whole(fields.get("attempt") or 0, 32),
        texts=sample_texts(fields.get("texts") or ()),
    )
    _set_whole(data, "optimizer_step", fields.get("optimizer_step"), 64)
    if fields.get("loss") is not None:
        data.batch_loss = float(fields["loss"])
    return data


# --- commands -------------------------------------------------------------------------------------


def command_fields(command: ControlCommand, received_s: float) -> dict[str, Any]:
    """Return the COMMAND record of a command: events.ControlCommand's fields.

    Args:
        command: From the monitor.
        received_s: When it came, ``time.monotonic()``: its time to live counts from there.

    Raises:
        ValueError: It asks for nothing that is known here.
    """
    kind = command.WhichOneof("action")
    if kind is None:
        raise ValueError(
            "the command holds no action this trainmon knows: an older trainmon trains here, "
            "or whoever sent it set none"
        )
    fields: dict[str, Any] = {
        "command_id": command.command_id,
        "kind": kind,
        "issued_by": command.issued_by,
    }
    if command.HasField("time_to_live_ms"):
        fields["expires_at_s"] = received_s + command.time_to_live_ms / 1e3
    if kind == "set_control":
        fields.update(name=command.set_control.name, value=command.set_control.value)
    elif kind == "adjust_learning_rate":
        fields.update(_learning_rate_fields(command))
    return fields


def _learning_rate_fields(command: ControlCommand) -> dict[str, Any]:
    action = command.adjust_learning_rate
    fields: dict[str, Any] = {
        name: getattr(action, name)
        for name in ("optimizer_index", "group")
        if action.HasField(name)
    }
    value = action.WhichOneof("value")
    if value is not None:
        fields["value" if value == "learning_rate" else "factor"] = getattr(action, value)
    return fields


def command_result(fields: Mapping[str, Any]) -> CommandResult:
    """Return what a RESULT record says.

    Raises:
        ValueError: There is no such state.
    """
    result = CommandResult(
        command_id=_text(fields["command_id"]),
        state=_STATE_PREFIX + str(fields["state"]),
        message=_text(fields.get("message")),
        timestamp_ms=_time(fields),
    )
    _set_whole(result, "applied_at_step", fields.get("applied_at_step"), 64)
    _set_numbers(result, ("previous_value", "applied_value", "effective_value"), fields)
    return result
