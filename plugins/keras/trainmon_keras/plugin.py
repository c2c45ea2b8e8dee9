"""The hooks of the Keras adapter; imports no framework before a fit does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainmon.plugin import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainmon.events import (
        BatchEvent,
        ControlCommand,
        ControlOutcome,
        ControlSpec,
        EpochEvent,
    )
    from trainmon.session import Session

#: With trainmon_check_control.
trainmon_hookspec_version = 2


@hookimpl
def trainmon_instrument() -> None:
    """Attach a callback to every fit of this process."""
    from trainmon_keras.attach import attach

    attach()


@hookimpl
def trainmon_collect_batch(raw: Any) -> BatchEvent | None:
    """Turn a step's extra outputs into samples."""
    from trainmon_keras.samples import collect

    return collect(raw)


@hookimpl
def trainmon_collect_epoch(raw: Any) -> EpochEvent | None:
    """Turn Keras' logs into the end of an epoch."""
    from trainmon_keras.samples import epoch_of

    return epoch_of(raw)


@hookimpl
def trainmon_declare_controls(raw: Any) -> Sequence[ControlSpec]:
    """Offer checkpoint, evaluation and learning rate."""
    from trainmon_keras.controls import declare_controls

    return declare_controls(raw)


@hookimpl
def trainmon_check_control(session: Session, command: ControlCommand) -> str:
    """Say why a command would be refused."""
    from trainmon_keras.controls import objection

    return objection(session.control_context, command)


@hookimpl
def trainmon_apply_control(session: Session, command: ControlCommand) -> ControlOutcome | None:
    """Carry out a command between two steps."""
    from trainmon_keras.controls import apply_control

    return apply_control(session.control_context, command)
