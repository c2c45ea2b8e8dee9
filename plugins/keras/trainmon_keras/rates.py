"""Changing a Keras learning rate so that it stays changed, and is saved and loaded with the model.

A rate that is a variable is assigned. One of Keras' own schedules is rebuilt from its scaled
configuration, and the step compiled anew, for a schedule is fixed in the compiled step; a saved
model has the scaled one. A ``LearningRateScheduler`` callback is asked for its own, unscaled rate
and what it answers is scaled. Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from trainmon.adapters import RefusedError, Scale, wanted_scale
from trainmon.events import ControlCommand, ControlOutcome

__all__ = ["KerasRates", "adjust", "optimizers_of"]

_SCALED = ("initial_learning_rate", "end_learning_rate", "warmup_target")
_SCALED_LISTS = ("values",)


def optimizers_of(model: Any) -> list[Any]:
    """Return the optimizers of a model: ``optimizer`` first, then others it holds (as a GAN's)."""
    own = getattr(model, "optimizer", None)
    held = [own, *vars(model).values()]
    found = {id(each): each for each in held if isinstance(each, keras.optimizers.Optimizer)}
    return list(found.values())


def _inner(optimizer: Any) -> Any:
    """Return the optimizer that has the rate: a loss-scaling one wraps it."""
    return getattr(optimizer, "inner_optimizer", None) or optimizer


@dataclass(frozen=True)
class KerasRates:
    """The learning rates of a model.

    Args:
        model: The Keras model.
        callbacks: Those of the fit: a LearningRateScheduler among them sets the rate each epoch.
        factors: What each such callback's rates are multiplied by so far, by its identity.
    """

    model: Any
    callbacks: Sequence[Any]
    factors: dict[int, float]

    def base(self, index: int | None = None) -> float | None:
        """Return the base learning rate of the first optimizer meant; None: there is none."""
        optimizer = next(iter(self._chosen(index)), None)
        if optimizer is None:
            return None
        rate = _inner(optimizer)._learning_rate  # noqa: SLF001 - `learning_rate` tells a schedule's value
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            config = rate.get_config()
            values = [config.get(key) for key in ("warmup_target", "initial_learning_rate")]
            values += list(config.get("values", ()))[:1]
            return next((float(each) for each in values if each is not None), None)
        return float(keras.ops.convert_to_numpy(rate)) if _is_variable(rate) else None

    def scale(self, scale: Scale, index: int | None) -> bool:
        """Multiply the schedule of every optimizer meant; return whether to compile anew.

        Raises:
            RefusedError: One of them cannot be changed so that it holds; none was.
        """
        chosen = [_inner(each) for each in self._chosen(index)]
        changes = [_change(optimizer, scale) for optimizer in chosen]
        if not changes:
            raise RefusedError("this model has no such optimizer")
        schedulers = [
            each
            for each in self.callbacks
            if isinstance(each, keras.callbacks.LearningRateScheduler)
        ]
        for change, _ in changes:
            change()
        for scheduler in schedulers:
            self._scale_scheduler(scheduler, scale)
        return any(retrace for _, retrace in changes)

    def _chosen(self, index: int | None) -> list[Any]:
        every = optimizers_of(self.model)
        if index is None:
            return every
        return [every[index]] if 0 <= index < len(every) else []

    def _scale_scheduler(self, scheduler: Any, scale: Scale) -> None:
        known = id(scheduler) in self.factors
        self.factors[id(scheduler)] = scale.number(self.factors.get(id(scheduler), 1.0))
        if known:
            return
        plain, factors = scheduler.schedule, self.factors

        def scaled(epoch: int, rate: float | None = None) -> Any:
            factor = factors[id(scheduler)]
            try:
                answer = plain(epoch, None if rate is None else float(rate / factor))
            except TypeError:  # the older way, as Keras itself allows it
                answer = plain(epoch)
            return float(answer) * factor

        scheduler.schedule = scaled


def _is_variable(rate: Any) -> bool:
    return isinstance(rate, keras.Variable)


def _change(optimizer: Any, scale: Scale) -> tuple[Callable[[], object], bool]:
    """Return what changes an optimizer's rate, checked beforehand, and whether it must be traced.

    Raises:
        RefusedError: It cannot be changed so that it holds.
    """
    rate = optimizer._learning_rate  # noqa: SLF001 - the property tells a schedule's value only
    if _is_variable(rate):
        new = scale.number(float(keras.ops.convert_to_numpy(rate)))
        return (lambda: rate.assign(new)), False
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        raise RefusedError(
            "the learning rate is a function of the script's own, which would undo the change; a "
            "number or one of keras.optimizers.schedules can be changed"
        )
    if not type(rate).__module__.startswith("keras."):
        raise RefusedError(
            f"{type(rate).__name__} is a schedule of the script's own: which of its numbers are "
            "rates is not known; one of keras.optimizers.schedules can be changed"
        )
    schedule = type(rate).from_config(_scaled_config(rate, scale))
    return (lambda: setattr(optimizer, "learning_rate", schedule)), True


def _scaled_config(schedule: Any, scale: Scale) -> dict[str, Any]:
    config = dict(schedule.get_config())
    known = [key for key in (*_SCALED, *_SCALED_LISTS) if config.get(key) is not None]
    if not known:
        raise RefusedError(f"which numbers of {type(schedule).__name__} are rates is not known")
    for key in known:
        value = config[key]
        config[key] = (
            [scale.number(float(each)) for each in value]
            if key in _SCALED_LISTS
            else scale.number(float(value))
        )
    return config


def adjust(
    rates: KerasRates,
    command: ControlCommand,
    retrace: Callable[[], None],
    effective: Callable[[], float | None],
) -> ControlOutcome:
    """Carry out ADJUST_LEARNING_RATE; what cannot hold is refused with its reason.

    Args:
        rates: Of the model.
        command: What is asked for.
        retrace: Compiles the step anew.
        effective: Reads the rate of the step that was made last.
    """
    index = command.optimizer_index
    if command.group is not None:
        reason = "a Keras optimizer has no parameter groups: leave the group out"
        return ControlOutcome(applied=False, message=reason)
    before = rates.base(index)
    try:
        if before is None:
            # A rate that cannot be read cannot be changed either; the change says why.
            rates.scale(Scale(1.0), index)
            raise RefusedError("this learning rate cannot be read")
        if rates.scale(wanted_scale(command, before), index):
            retrace()
    except RefusedError as refusal:
        return ControlOutcome(applied=False, message=str(refusal), previous_value=before)
    after = rates.base(index)
    return ControlOutcome(
        applied=True,
        previous_value=before,
        applied_value=after,
        read_back=(lambda: rates.base(index)) if index else effective,
    )
