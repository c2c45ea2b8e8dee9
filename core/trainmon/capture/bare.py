"""The adapter of a loop of one's own: built in, registered through the same door as everyone's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from trainmon.capture.learning_rate import LearningRates, RefusedError, Scale
from trainmon.events import (
    BatchEvent,
    ControlCommand,
    ControlKind,
    ControlOutcome,
    ControlSpec,
    EpochEvent,
)
from trainmon.plugin import hookimpl

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["NAME", "BareLoop", "LoopContext", "rate_in_force"]

NAME = "bare"


@dataclass(frozen=True, eq=False)
class LoopContext:
    """What the user's loop gave to ``control_point``; equal where it gave the same objects."""

    optimizers: Sequence[Any]
    schedulers: Sequence[Any]

    def __eq__(self, other: object) -> bool:
        # By identity: a stranger's == may return an array, or raise.
        return isinstance(other, LoopContext) and self._identities() == other._identities()

    def __hash__(self) -> int:
        return hash(self._identities())

    def _identities(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(map(id, each)) for each in (self.optimizers, self.schedulers))


class BareLoop:
    """Takes what ``Session.batch_end``, ``epoch_end`` and ``control_point`` were given."""

    @hookimpl
    def trainmon_collect_batch(self, raw: Any) -> BatchEvent:
        """Return the user's arrays as they are."""
        return BatchEvent(**raw)

    @hookimpl
    def trainmon_collect_epoch(self, raw: Any) -> EpochEvent | None:
        """Return the user's numbers as they are."""
        return raw if isinstance(raw, EpochEvent) else None

    @hookimpl
    def trainmon_declare_controls(self, raw: Any) -> list[ControlSpec]:
        """Offer the learning rate where an optimizer is known."""
        rates = _rates(raw)
        base = rates.base()
        if base is None:
            return []
        return [
            ControlSpec(
                name="learning_rate",
                title="Learning rate",
                description="Scales the whole schedule; what is set is its base.",
                minimum=0.0,
                logarithmic=True,
                current_value=base,
            )
        ]

    @hookimpl
    def trainmon_apply_control(
        self, session: Session, command: ControlCommand
    ) -> ControlOutcome | None:
        """Change the learning rate; what else a loop of one's own cannot do is refused."""
        if command.kind is ControlKind.ADJUST_LEARNING_RATE:
            return _adjust(_rates(session.control_context), command)
        if command.kind in (ControlKind.SAVE_CHECKPOINT, ControlKind.EVALUATE):
            what = command.kind.value.replace("_", " ")
            return ControlOutcome(
                applied=False,
                message=f"this loop does not say how to {what}: offer it with "
                f"session.add_control({command.kind.value!r}, ...)",
            )
        return None


def rate_in_force(context: Any) -> float | None:
    """Return the learning rate a loop's control point knows of; None where it knows none."""
    return _rates(context).effective() if isinstance(context, LoopContext) else None


def _rates(context: Any) -> LearningRates:
    if isinstance(context, LoopContext):
        return LearningRates(context.optimizers, context.schedulers)
    return LearningRates((), ())


def _adjust(rates: LearningRates, command: ControlCommand) -> ControlOutcome:
    where = (command.optimizer_index, command.group)
    base = rates.base(*where)
    if base is None:
        reason = "no optimizer is known here: pass it, session.control_point(optimizer)"
        return ControlOutcome(applied=False, message=reason)
    try:
        rates.scale(_scale(command, base), *where)
    except RefusedError as refusal:
        return ControlOutcome(applied=False, message=str(refusal), previous_value=base)
    return ControlOutcome(
        applied=True,
        previous_value=base,
        applied_value=rates.base(*where),
        read_back=lambda: rates.effective(*where),
    )


def _scale(command: ControlCommand, base: float) -> Scale:
    """Return what a command multiplies the schedule by.

    Raises:
        RefusedError: By nothing, or so that no learning rate would be left.
    """
    wanted = command.value if command.factor is None else command.factor * base
    if wanted is None or not isfinite(wanted) or wanted <= 0:
        given = f"{command.value}" if command.factor is None else f"{base:g} × {command.factor}"
        raise RefusedError(f"the learning rate cannot be {given}: expected a finite one above 0")
    if base <= 0:
        raise RefusedError(f"the base learning rate is {base:g}: there is no schedule to scale")
    return Scale(wanted, base) if command.factor is None else Scale(command.factor)
