"""What trainmon asks of this adapter. Imports no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainmon.adapters import adjust_learning_rate
from trainmon.events import (
    BatchEvent,
    ControlCommand,
    ControlKind,
    ControlOutcome,
    ControlSpec,
    EpochEvent,
)
from trainmon.plugin import hookimpl
from trainmon_lightning.controls import FitContext, declared_controls

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = [
    "trainmon_apply_control",
    "trainmon_check_control",
    "trainmon_collect_batch",
    "trainmon_collect_epoch",
    "trainmon_declare_controls",
    "trainmon_hookspec_version",
]

#: With trainmon_check_control.
trainmon_hookspec_version = 2


@hookimpl
def trainmon_collect_batch(raw: Any) -> BatchEvent | None:
    """Return what the callback took of the step."""
    captured = raw()
    return BatchEvent(**captured) if captured else None


@hookimpl
def trainmon_collect_epoch(raw: Any) -> EpochEvent | None:
    """Return what the callback knows of the epoch."""
    return raw if isinstance(raw, EpochEvent) else None


@hookimpl
def trainmon_declare_controls(raw: Any) -> Sequence[ControlSpec]:
    """Offer the learning rate, a checkpoint and an evaluation; the callback adds the knobs."""
    return declared_controls(raw) if isinstance(raw, FitContext) else []


@hookimpl
def trainmon_check_control(session: Session, command: ControlCommand) -> str:
    """Say what stands against a command on this rank."""
    fit = session.control_context
    return fit.objection(command) if isinstance(fit, FitContext) else ""


@hookimpl
def trainmon_apply_control(session: Session, command: ControlCommand) -> ControlOutcome | None:
    """Carry out what needs the trainer; pause, resume and stop are the session's own."""
    fit = session.control_context
    if not isinstance(fit, FitContext):
        return None
    if command.kind is ControlKind.ADJUST_LEARNING_RATE:
        return adjust_learning_rate(fit.rates(), command)
    if command.kind is ControlKind.SAVE_CHECKPOINT:
        return fit.save_checkpoint(session.global_step)
    if command.kind is ControlKind.EVALUATE:
        return fit.evaluate()
    return None
