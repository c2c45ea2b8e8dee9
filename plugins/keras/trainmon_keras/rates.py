"""Changing a Keras learning rate so that it stays changed, and is saved and loaded with the model.

A rate that is a variable is assigned. One of Keras' own schedules is rebuilt from its scaled
configuration, and the step compiled anew, for a schedule is fixed in the compiled step; a saved
model has the scaled one. A ``LearningRateScheduler`` callback is asked for its own, unscaled rate
and what it answers is scaled. Anything else is refused. Saved weights have neither schedule nor
callback: what is kept beside them is made and read here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from trainmon.adapters import RefusedError, Scale, wanted_scale
from trainmon.events import ControlCommand, ControlOutcome

__all__ = ["KerasRates", "adjust", "inner", "objection", "optimizers_of"]

#: Where an optimizer keeps its schedule as the script gave it, and the one that took its place.
_CHANGED = "_trainmon_schedule"
_SCALED = ("initial_learning_rate", "end_learning_rate", "warmup_target")
_SCALED_LISTS = ("values",)


def optimizers_of(model: Any) -> list[Any]:
    """Return the optimizers of a model: ``optimizer`` first, then others it holds (as a GAN's)."""
    own = getattr(model, "optimizer", None)
    held = [own, *vars(model).values()]
    found = {id(each): each for each in held if isinstance(each, keras.optimizers.Optimizer)}
    return list(found.values())


def inner(optimizer: Any) -> Any:
    """Return the optimizer that has the rate: a loss-scaling one wraps it."""
    return getattr(optimizer, "inner_optimizer", None) or optimizer


@dataclass(frozen=True)
class KerasRates:
    """The learning rates of a model.

    Args:
        model: The Keras model.
        callbacks: Those of the fit: a LearningRateScheduler among them sets the rate each epoch.
    """

    model: Any
    callbacks: Sequence[Any]

    def base(self, index: int | None = None) -> float | None:
        """Return the base learning rate of the first optimizer meant; None: there is none."""
        optimizer = next(iter(self._chosen(index)), None)
        if optimizer is None:
            return None
        rate = inner(optimizer)._learning_rate  # noqa: SLF001 - `learning_rate` tells a schedule's value
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
        changes = self.changes(scale, index)
        for change, _ in changes:
            change()
        for scheduler in self._schedulers():
            answers = _Scaled.of(scheduler)
            answers.factor = scale.number(answers.factor)
        return any(retrace for _, retrace in changes)

    def changes(self, scale: Scale, index: int | None) -> list[tuple[Callable[[], object], bool]]:
        """Return what would change each optimizer meant, and whether it must be traced anew.

        Raises:
            RefusedError: One of them cannot be changed so that it holds.
        """
        changes = [_change(inner(each), scale) for each in self._chosen(index)]
        if not changes:
            raise RefusedError("this model has no such optimizer")
        return changes

    def kept(self) -> dict[str, Any]:
        """Return what saved weights lack of the rates, as JSON can hold it."""
        optimizers = map(inner, optimizers_of(self.model))
        factors = [getattr(each.schedule, "factor", 1.0) for each in self._schedulers()]
        return {"schedules": [_schedules_of(each) for each in optimizers], "factors": factors}

    def restore(self, kept: Mapping[str, Any]) -> bool:
        """Make the rates what they were when ``kept`` was; return whether to compile anew.

        Raises:
            RefusedError: The script has other schedules or callbacks than it had then.
        """
        optimizers = [inner(each) for each in optimizers_of(self.model)]
        if len(optimizers) != len(kept["schedules"]):
            raise RefusedError("the model has other optimizers than it had then")
        anew = [
            _restore(optimizer, *known)
            for optimizer, known in zip(optimizers, kept["schedules"], strict=True)
        ]
        schedulers, factors = self._schedulers(), kept["factors"]
        if len(schedulers) != len(factors) and set(factors) - {1.0}:
            raise RefusedError("the fit has other LearningRateScheduler callbacks than it had then")
        for scheduler, factor in zip(schedulers, factors, strict=False):
            _Scaled.of(scheduler).factor = float(factor)
        return any(anew)

    def _chosen(self, index: int | None) -> list[Any]:
        every = optimizers_of(self.model)
        if index is None:
            return every
        return [every[index]] if 0 <= index < len(every) else []

    def _schedulers(self) -> list[Any]:
        kind = keras.callbacks.LearningRateScheduler
        return [each for each in self.callbacks if isinstance(each, kind)]


class _Scaled:
    """Stands where the function of a LearningRateScheduler stood: multiplies what it answers.

    Args:
        plain: The script's own.
    """

    def __init__(self, plain: Callable[..., Any]) -> None:
        self._plain = plain
        self.factor = 1.0

    @classmethod
    def of(cls, scheduler: Any) -> _Scaled:
        """Return the one of a callback, which has it from now on."""
        if not isinstance(scheduler.schedule, cls):
            scheduler.schedule = cls(scheduler.schedule)
        found: _Scaled = scheduler.schedule
        return found

    def __call__(self, epoch: int, rate: float | None = None) -> Any:
        """Return the rate of an epoch."""
        try:
            answer = self._plain(epoch, None if rate is None else float(rate / self.factor))
        except TypeError:  # the older way, as Keras itself allows it
            answer = self._plain(epoch)
        return float(answer) * self.factor


def _told(schedule: Any) -> dict[str, Any] | None:
    """Return one of Keras' own schedules as JSON has it; None: it is something else."""
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return None
    if not type(schedule).__module__.startswith("keras."):
        return None
    told: dict[str, Any] = json.loads(
        json.dumps(keras.optimizers.schedules.serialize(schedule), default=float)
    )
    return told


def _schedules_of(optimizer: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return an optimizer's schedule as the script gave it, and as it is now."""
    rate = optimizer._learning_rate  # noqa: SLF001 - the property tells a schedule's value only
    now = _told(rate)
    was, changed = getattr(optimizer, _CHANGED, (now, None))
    return (was if changed is rate else now), now


def _put(optimizer: Any, schedule: Any) -> None:
    """Give an optimizer another schedule in place of the script's."""
    was, _ = _schedules_of(optimizer)
    optimizer.learning_rate = schedule
    # Past Keras' own __setattr__, which would track it.
    object.__setattr__(optimizer, _CHANGED, (was, schedule))


def _restore(
    optimizer: Any, was: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None
) -> bool:
    """Make a schedule what it was; return whether it is another one now."""
    here, now = _schedules_of(optimizer)
    if wanted is None or wanted == now:  # a number is among the optimizer's variables
        return False
    if here != was:
        if wanted == was:
            return False
        raise RefusedError("the script has another schedule than it had then")
    _put(optimizer, keras.optimizers.schedules.deserialize(dict(wanted)))
    return True


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
    return (lambda: _put(optimizer, schedule)), True


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
    before = rates.base(index)
    refusal = objection(rates, command)
    if before is None or refusal:
        return ControlOutcome(applied=False, message=refusal, previous_value=before)
    if rates.scale(wanted_scale(command, before), index):
        retrace()
    after = rates.base(index)
    return ControlOutcome(
        applied=True,
        previous_value=before,
        applied_value=after,
        read_back=(lambda: rates.base(index)) if index else effective,
    )


def objection(rates: KerasRates, command: ControlCommand) -> str:
    """Return why ADJUST_LEARNING_RATE would be refused; empty where it can be carried out."""
    index = command.optimizer_index
    if command.group is not None:
        return "a Keras optimizer has no parameter groups: leave the group out"
    before = rates.base(index)
    try:
        # A rate that cannot be read cannot be changed either; the change says why.
        rates.changes(Scale(1.0) if before is None else wanted_scale(command, before), index)
    except RefusedError as refusal:
        return str(refusal)
    return "" if before is not None else "this learning rate cannot be read"
