"""What is refused before it is recorded: commands that could never hold. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from grpclib.const import Status

from trainmon.monitor.refusal import RefusedError
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    ControlCommand,
    ControlSpec,
    ControlType,
    SetControl,
)

__all__ = ["MAX_COMMAND_BYTES", "check_command"]

#: Greatest command, in bytes: every one is kept and shown to every viewer.
MAX_COMMAND_BYTES = 8 << 10
_MAX_ID = 128

#: The ControlSpec that stands for an action, where its name differs from the action's.
_SPEC_OF_ACTION = {"adjust_learning_rate": "learning_rate"}


def check_command(command: ControlCommand, controls: Mapping[str, ControlSpec]) -> None:
    """Raise where a command cannot be carried out, whatever the training does.

    Args:
        command: The command.
        controls: What the training declared, by name.

    Raises:
        RefusedError: INVALID_ARGUMENT for a missing action, an unknown control or a value that
            can never hold; FAILED_PRECONDITION for a control that is not available now.
    """
    if len(command.command_id) > _MAX_ID:
        raise _invalid(
            f"command_id has {len(command.command_id)} characters, the limit is {_MAX_ID}"
        )
    if command.ByteSize() > MAX_COMMAND_BYTES:
        raise _invalid(
            f"the command has {command.ByteSize()} bytes, the limit is {MAX_COMMAND_BYTES}"
        )
    action = command.WhichOneof("action")
    if action is None:
        raise _invalid("the command has no action: set pause, resume, stop or another of them")
    name = command.set_control.name if action == "set_control" else action
    spec = controls.get(_SPEC_OF_ACTION.get(name, name))
    if action == "set_control":
        _check_set_control(command.set_control, spec, controls)
    elif action == "adjust_learning_rate":
        _check_learning_rate(command.adjust_learning_rate, spec)
    if spec is not None and spec.unavailable_reason:
        raise RefusedError(
            Status.FAILED_PRECONDITION,
            f"{spec.title or spec.name} cannot be used now: {spec.unavailable_reason}",
        )


def _check_learning_rate(change: AdjustLearningRate, spec: ControlSpec | None) -> None:
    field = change.WhichOneof("value")
    if field is None:
        raise _invalid("adjust_learning_rate has no value: set learning_rate or factor")
    value = change.learning_rate if field == "learning_rate" else change.factor
    if not (math.isfinite(value) and value > 0):
        raise _invalid(f"{field} is {value}, but should be a finite number greater than 0")
    if field == "learning_rate" and spec is not None:
        _check_range(field, value, spec)


def _check_set_control(
    change: SetControl, spec: ControlSpec | None, controls: Mapping[str, ControlSpec]
) -> None:
    if spec is None:
        known = ", ".join(sorted(controls)) or "none"
        raise _invalid(
            f"the training has no control {change.name[:64]!r}; it has declared: {known}"
        )
    if spec.type == ControlType.CONTROL_TYPE_TRIGGER:
        return
    if not math.isfinite(change.value):
        raise _invalid(f"{spec.name} is {change.value}, but should be a finite number")
    if spec.type in _WHOLE and change.value != math.floor(change.value):
        raise _invalid(f"{spec.name} is {change.value}, but should be a whole number")
    if spec.type == ControlType.CONTROL_TYPE_BOOLEAN and change.value not in {0, 1}:
        raise _invalid(f"{spec.name} is {change.value}, but should be 0 or 1")
    if spec.type == ControlType.CONTROL_TYPE_CHOICE and not 0 <= change.value < len(spec.choices):
        raise _invalid(
            f"{spec.name} is {change.value:g}, but should be 0 to {len(spec.choices) - 1}, "
            f"an index of: {', '.join(spec.choices)}"
        )
    _check_range(spec.name, change.value, spec)


_WHOLE = frozenset(
    {
        ControlType.CONTROL_TYPE_INTEGER,
        ControlType.CONTROL_TYPE_BOOLEAN,
        ControlType.CONTROL_TYPE_CHOICE,
    }
)


def _check_range(name: str, value: float, spec: ControlSpec) -> None:
    low = spec.minimum if spec.HasField("minimum") else -math.inf
    high = spec.maximum if spec.HasField("maximum") else math.inf
    if not low <= value <= high:
        raise _invalid(f"{name} is {value:g}, but should be {low:g} to {high:g}")


def _invalid(reason: str) -> RefusedError:
    return RefusedError(Status.INVALID_ARGUMENT, reason)
