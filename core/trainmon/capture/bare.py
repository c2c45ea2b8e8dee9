"""The adapter of a loop of one's own: built in, registered through the same door as everyone's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import TYPE_CHECKING, Any

from trainmon.capture.learning_rate import (
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

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = [
    "NAME",
    "SHOWN",
    "BareLoop",
    "LoopContext",
    "context_of",
    "objection",
    "rate_told",
    "scalars_told",
]

NAME = "bare"
#: What ``Session.batch_end`` takes of samples, in the order in which it hands them over.
SHOWN = (
    *("images", "outputs", "targets", "sample_losses", "texts", "output_texts", "target_texts"),
    *("tokens", "token_losses", "output_boxes", "target_boxes", "batch_size"),
)


@dataclass(frozen=True, eq=False)
class LoopContext:
    """What the user's loop gave to ``control_point``; one and the same while it gives the same."""

    optimizers: Sequence[Any]
    schedulers: Sequence[Any]

    def rate_in_force(self) -> float | None:
        """Return the learning rate of the first group; None where there is none to be read."""
        if not self.optimizers:
            return None
        # Asked at every step: the plain number of a Torch optimizer is read without ado.
        groups = getattr(self.optimizers[0], "param_groups", None)
        rate = groups[0].get("lr") if isinstance(groups, list) and groups else None
        return rate if type(rate) is float else _rates(self).effective()


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
        spec = learning_rate_control(_rates(raw))
        return [] if spec is None else [spec]

    @hookimpl
    def trainmon_check_control(self, session: Session, command: ControlCommand) -> str:
        """Say what a loop of one's own cannot do, or not now."""
        return objection(session.control_context, command)

    @hookimpl
    def trainmon_apply_control(
        self, session: Session, command: ControlCommand
    ) -> ControlOutcome | None:
        """Change the learning rate; what else a loop of one's own cannot do is refused."""
        if command.kind is ControlKind.ADJUST_LEARNING_RATE:
            return adjust_learning_rate(_rates(session.control_context), command)
        refusal = objection(session.control_context, command)
        return ControlOutcome(applied=False, message=refusal) if refusal else None


def context_of(optimizers: Sequence[Any], scheduler: Any, known: Any = None) -> LoopContext:
    """Return what ``control_point`` was given; a scheduler may be one, several or None.

    Args:
        optimizers: Given.
        scheduler: Given.
        known: The context of the last control point, which is nearly always the same: returned
            where it is, so that nothing is made at every step.
    """
    if scheduler is None:
        schedulers: tuple[Any, ...] = ()
    elif isinstance(scheduler, (list, tuple)):
        schedulers = tuple(each for each in scheduler if each is not None)
    else:
        schedulers = (scheduler,)
    # By identity: a stranger's == may return an array, or raise.
    if (
        type(known) is LoopContext
        and len(optimizers) == len(known.optimizers)
        and len(schedulers) == len(known.schedulers)
        and all(map(is_, optimizers, known.optimizers))
        and all(map(is_, schedulers, known.schedulers))
    ):
        return known
    return LoopContext(optimizers, schedulers)


def objection(context: Any, command: ControlCommand) -> str:
    """Return what a loop of one's own has against a command, which is not carried out."""
    if command.kind is ControlKind.ADJUST_LEARNING_RATE:
        return learning_rate_objection(_rates(context), command)
    if command.kind in (ControlKind.SAVE_CHECKPOINT, ControlKind.EVALUATE):
        what = command.kind.value.replace("_", " ")
        return (
            f"this loop does not say how to {what}: offer it with "
            f"session.add_control({command.kind.value!r}, ...)"
        )
    return ""


def rate_told(session: Session, given: Any) -> Any:
    """Return the learning rate given, or the one in force; None where it cannot be read."""
    context = session.control_context
    if given is not None or not isinstance(context, LoopContext):
        return given
    try:
        return context.rate_in_force()
    except Exception as error:  # noqa: BLE001 - a stranger's optimizer; told, counted
        session.failed("learning_rate", error)
        return None


def scalars_told(
    session: Session, metrics: Mapping[str, Any] | None, learning_rate: Any
) -> Mapping[str, Any] | None:
    """Return the scalars of a step by name; of metrics that cannot be read, the rate alone."""
    context = session.control_context
    known = learning_rate is not None or (type(context) is LoopContext and context.optimizers)
    rate = rate_told(session, learning_rate) if known else None
    if rate is None and (metrics is None or type(metrics) is dict):
        return metrics
    told: dict[str, Any] = {} if rate is None else {"learning_rate": rate}
    try:
        told.update(metrics if metrics is not None else {})
    except Exception as error:  # noqa: BLE001 - a stranger's mapping; told, the step counts
        session.failed("batch_end(metrics=...)", error)
    return told


def _rates(context: Any) -> LearningRates:
    if isinstance(context, LoopContext):
        return LearningRates(context.optimizers, context.schedulers)
    return LearningRates((), ())
