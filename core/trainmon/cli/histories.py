"""A session's epochs, commands, errors and states as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from trainmon.cli.tables import Column
from trainmon.cli.text import enum_name
from trainmon.v1.control_pb2 import CommandRecord, CommandState, ControlCommand
from trainmon.v1.telemetry_pb2 import (
    ConvergenceStatus,
    EpochData,
    ErrorCode,
    ErrorResponse,
    StatusUpdate,
    TrainingStatus,
)

__all__ = [
    "Table",
    "action_of",
    "asked_ms",
    "commands",
    "convergence_name",
    "epochs",
    "errors",
    "state_of",
    "states",
]

Table = tuple[Sequence[Column], list[list[Any]]]
"""The columns, and as many lists of cells, equally long."""

_EPOCH_NUMBERS = (
    "average_loss",
    "average_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
)
_RESULT_NUMBERS = ("previous_value", "applied_value", "effective_value")


def epochs(told: Sequence[EpochData]) -> Table:
    """Return the epochs in the order they ended, a column ``metrics.NAME`` for each metric."""
    names = sorted({name for epoch in told for name in epoch.metrics})
    makers: list[tuple[Column, Callable[[EpochData], Any]]] = [
        (Column("attempt", "whole"), lambda epoch: epoch.attempt),
        (Column("epoch", "whole"), lambda epoch: epoch.epoch),
        (Column("step", "whole"), lambda epoch: epoch.global_step),
        (Column("time_ms", "whole"), lambda epoch: epoch.timestamp_ms),
        (Column("duration_ms", "whole"), lambda epoch: epoch.duration_ms),
        *((Column(name, "number"), _optional(name)) for name in _EPOCH_NUMBERS),
        (Column("convergence", "text"), convergence_name),
        *((Column(f"metrics.{name}", "number"), _metric(name)) for name in names),
    ]
    return _table(makers, told)


def commands(told: Sequence[CommandRecord]) -> Table:
    """Return the commands in the order they were asked for."""
    makers: list[tuple[Column, Callable[[CommandRecord], Any]]] = [
        (Column("command_id", "text"), lambda record: record.command.command_id),
        (Column("action", "text"), lambda record: action_of(record.command)),
        (Column("value", "number"), lambda record: value_of(record.command)),
        (Column("issued_by", "text"), lambda record: record.command.issued_by),
        (Column("asked_ms", "whole"), asked_ms),
        (Column("state", "text"), state_of),
        (Column("changed_ms", "whole"), lambda record: record.timestamp_ms),
        (Column("applied_at_step", "whole"), _of_result("applied_at_step")),
        *((Column(name, "number"), _of_result(name)) for name in _RESULT_NUMBERS),
        (Column("message", "text"), lambda record: record.result.message),
    ]
    return _table(makers, told)


def errors(told: Sequence[ErrorResponse]) -> Table:
    """Return the errors, the oldest first."""
    makers: list[tuple[Column, Callable[[ErrorResponse], Any]]] = [
        (Column("time_ms", "whole"), lambda error: error.timestamp_ms),
        (Column("code", "text"), lambda error: enum_name(ErrorCode, error.code, "ERROR_CODE_")),
        (Column("message", "text"), lambda error: error.message),
    ]
    return _table(makers, told)


def states(told: Sequence[StatusUpdate]) -> Table:
    """Return what the training said it does, the oldest first."""
    makers: list[tuple[Column, Callable[[StatusUpdate], Any]]] = [
        (Column("time_ms", "whole"), lambda update: update.timestamp_ms),
        (Column("status", "text"), _status_of),
        (Column("step", "whole"), _optional("global_step")),
        (Column("message", "text"), lambda update: update.message),
    ]
    return _table(makers, told)


def _status_of(update: StatusUpdate) -> str:
    """Return what a training said it does, as people read it."""
    return enum_name(TrainingStatus, update.status, "TRAINING_STATUS_")


def _table(makers: Sequence[tuple[Column, Callable[[Any], Any]]], told: Sequence[Any]) -> Table:
    return [column for column, _ in makers], [[make(each) for each in told] for _, make in makers]


def _optional(name: str) -> Callable[[Message], Any]:
    return lambda message: getattr(message, name) if message.HasField(name) else None


def _of_result(name: str) -> Callable[[CommandRecord], Any]:
    read = _optional(name)
    return lambda record: read(record.result)


def _metric(name: str) -> Callable[[EpochData], float | None]:
    return lambda epoch: epoch.metrics.get(name, None)


def convergence_name(epoch: EpochData) -> str:
    """Return how the loss has developed, as people read it; empty where that is not known."""
    name = enum_name(ConvergenceStatus, epoch.convergence_status, "CONVERGENCE_STATUS_")
    return "" if name == "unspecified" else name


def action_of(command: ControlCommand) -> str:
    """Return what a command asks for: an action, or the name of a control."""
    action = command.WhichOneof("action") or ""
    return command.set_control.name if action == "set_control" else action


def value_of(command: ControlCommand) -> float | None:
    """Return the value that a command asks for; None where it has none.

    A factor is given as it is: the result tells the value it came to.
    """
    action = command.WhichOneof("action")
    if action == "set_control":
        return command.set_control.value
    if action == "adjust_learning_rate":
        kind = command.adjust_learning_rate.WhichOneof("value")
        return getattr(command.adjust_learning_rate, kind) if kind else None
    return None


def state_of(record: CommandRecord) -> str:
    """Return a command's state as people read it."""
    return enum_name(CommandState, record.state, "COMMAND_STATE_")


def asked_ms(record: CommandRecord) -> int:
    """Return when a command was asked for: ms since the epoch, the monitor's clock."""
    return record.transitions[0].timestamp_ms if record.transitions else record.timestamp_ms
