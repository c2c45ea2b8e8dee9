"""The hooks of this plugin; it imports no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainmon.adapters import (
    LearningRates,
    adjust_learning_rate,
    learning_rate_control,
    learning_rate_objection,
)
from trainmon.events import (
    BatchEvent,
    ControlCommand,
    ControlKind,
    ControlOutcome,
    ControlSpec,
    EpochEvent,
)
from trainmon.plugin import hookimpl
from trainmon_hf_trainer.attach import attach_to_every_trainer

if TYPE_CHECKING:
    from trainmon.session import Session

#: With trainmon_check_control.
trainmon_hookspec_version = 2


@hookimpl
def trainmon_instrument() -> None:
    """Attach to every Trainer, once transformers has one."""
    attach_to_every_trainer()


@hookimpl
def trainmon_collect_batch(raw: Any) -> BatchEvent | None:
    """Return the samples of a step that was captured."""
    event: BatchEvent | None = raw.samples()
    return event


@hookimpl
def trainmon_collect_epoch(raw: Any) -> EpochEvent | None:
    """Return the epoch as the callback told it."""
    return raw if isinstance(raw, EpochEvent) else None


@hookimpl
def trainmon_declare_controls(raw: Any) -> list[ControlSpec]:
    """Offer the learning rate; the callback adds the other knobs itself."""
    spec = learning_rate_control(raw) if isinstance(raw, LearningRates) else None
    return [] if spec is None else [spec]


@hookimpl
def trainmon_check_control(session: Session, command: ControlCommand) -> str:
    """Say why the learning rate cannot be changed; the other knobs tell that by themselves."""
    rates = session.control_context
    if command.kind is ControlKind.ADJUST_LEARNING_RATE and isinstance(rates, LearningRates):
        return learning_rate_objection(rates, command)
    return ""


@hookimpl
def trainmon_apply_control(session: Session, command: ControlCommand) -> ControlOutcome | None:
    """Change the learning rate."""
    rates = session.control_context
    if command.kind is ControlKind.ADJUST_LEARNING_RATE and isinstance(rates, LearningRates):
        return adjust_learning_rate(rates, command)
    return None
