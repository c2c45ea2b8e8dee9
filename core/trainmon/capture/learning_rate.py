"""Changing a learning rate so that it stays changed.

Setting ``lr`` is undone at the next step by most schedules, which compute it from bases they
keep. So the whole schedule is scaled: ``lr`` and every base, peak and floor it is made of, in the
parameter groups and in the schedulers, nested ones too. The schedule's shape is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from trainmon.events import ControlCommand, ControlOutcome, ControlSpec

__all__ = [
    "LearningRates",
    "RefusedError",
    "Scale",
    "adjust_learning_rate",
    "learning_rate_control",
    "learning_rate_objection",
    "wanted_scale",
]

_GROUP_KEYS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
#: The last is of transformers' GreedyLR, which begins anew with it.
_SCHEDULER_LISTS = ("base_lrs", "max_lrs", "min_lrs", "_last_lr", "_init_lrs")
_SCHEDULER_NUMBERS = ("eta_min",)
_PLAIN_NAMES = ("learning_rate", "lr")


class RefusedError(Exception):
    """The change cannot be made; the text says why and what would help."""


class Scale:
    """Multiplies by ``wanted / base``, each object once however many hold it.

    Args:
        wanted: What ``base`` becomes, to the last bit.
        base: Greater than 0.
    """

    def __init__(self, wanted: float, base: float = 1.0) -> None:
        self._wanted = wanted
        self._base = base
        self._done: dict[int, Any] = {}  # the objects too, for only a living one keeps its id

    def first_time(self, value: Any) -> bool:
        """Return whether this object has not been scaled yet, and note that it is."""
        new = id(value) not in self._done
        self._done[id(value)] = value
        return new

    def number(self, value: Any) -> Any:
        """Return a number or tensor scaled, as another object."""
        return self._wanted * (value / self._base)

    def value(self, value: Any) -> Any:
        """Return a number scaled, or the same tensor, scaled in place."""
        if not hasattr(value, "mul_"):
            return self.number(value)
        # Compiled and capturable optimizers hold on to the tensor; several groups may share it.
        return value.mul_(self._wanted / self._base) if self.first_time(value) else value


@dataclass(frozen=True)
class LearningRates:
    """The learning rates of a loop of one's own.

    Args:
        optimizers: With ``param_groups`` as in Torch, or a plain ``learning_rate`` or ``lr``.
        schedulers: As in Torch; they may hold others.
    """

    optimizers: Sequence[Any]
    schedulers: Sequence[Any]

    def base(self, optimizer_index: int | None = None, group: int | None = None) -> float | None:
        """Return the base learning rate of the first group meant; None where there is none."""
        return self._first(("initial_lr", "lr"), optimizer_index, group)

    def effective(
        self, optimizer_index: int | None = None, group: int | None = None
    ) -> float | None:
        """Return the rate in force in the first group meant; None where there is none."""
        return self._first(("lr",), optimizer_index, group)

    def scale(self, scale: Scale, optimizer_index: int | None, group: int | None) -> None:
        """Multiply the schedule of every group meant.

        Raises:
            RefusedError: There is nothing to scale, or a schedule is at work that was not given.
        """
        self.check(optimizer_index, group)
        for optimizer in self._chosen(optimizer_index):
            self._scale_optimizer(optimizer, scale, group)

    def check(self, optimizer_index: int | None, group: int | None) -> None:
        """Change nothing, but see whether :meth:`scale` would refuse.

        Raises:
            RefusedError: It would.
        """
        if self.base(optimizer_index, group) is None:
            raise RefusedError("no such optimizer or parameter group is known at the control point")
        for optimizer in self._chosen(optimizer_index):
            self._check_schedule_known(optimizer)

    def _first(
        self, keys: Sequence[str], optimizer_index: int | None, group: int | None
    ) -> float | None:
        # Not at the top: it needs NumPy, and plugins, which import this, are everywhere.
        from trainmon.capture.arrays import on_device

        for optimizer in self._chosen(optimizer_index):
            for parameters in _groups(optimizer, group):
                value = next((parameters[key] for key in keys if key in parameters), None)
                # One on an accelerator is not read: that would wait for the device.
                return None if value is None or on_device(value) else float(value)
            name = _plain_name(optimizer)
            if name is not None:
                return float(getattr(optimizer, name))
        return None

    def _chosen(self, index: int | None) -> list[Any]:
        if index is None:
            return _once(self.optimizers)
        return [self.optimizers[index]] if index < len(self.optimizers) else []

    def _schedulers_of(self, optimizer: Any) -> list[Any]:
        return [each for each in _once(_flattened(self.schedulers)) if _drives(each, optimizer)]

    def _check_schedule_known(self, optimizer: Any) -> None:
        scheduled = any("initial_lr" in each for each in _groups(optimizer, None))
        if scheduled and not self._schedulers_of(optimizer):
            raise RefusedError(
                "a scheduler drives this optimizer, but the control point does not know it and it "
                "would undo the change: pass it, session.control_point(optimizer, "
                "scheduler=scheduler)"
            )

    def _scale_optimizer(self, optimizer: Any, scale: Scale, group: int | None) -> None:
        name = None if hasattr(optimizer, "param_groups") else _plain_name(optimizer)
        if name is not None:
            setattr(optimizer, name, scale.number(float(getattr(optimizer, name))))
            return
        for parameters in _groups(optimizer, group):
            for key in _GROUP_KEYS:
                if parameters.get(key) is not None:
                    parameters[key] = scale.value(parameters[key])
        for scheduler in self._schedulers_of(optimizer):
            _scale_scheduler(scheduler, scale, group)


def _groups(optimizer: Any, group: int | None) -> list[dict[str, Any]]:
    groups = list(getattr(optimizer, "param_groups", ()))
    if group is None:
        return groups
    return [groups[group]] if group < len(groups) else []


def _once(objects: Iterable[Any]) -> list[Any]:
    return list({id(each): each for each in objects}.values())


def _plain_name(optimizer: Any) -> str | None:
    for name in _PLAIN_NAMES:
        if isinstance(getattr(optimizer, name, None), Real):
            return name
    return None


def _flattened(schedulers: Sequence[Any]) -> Iterator[Any]:
    for scheduler in schedulers:
        yield scheduler
        # SequentialLR and ChainedScheduler keep theirs here.
        yield from _flattened(getattr(scheduler, "_schedulers", ()))


def _drives(scheduler: Any, optimizer: Any) -> bool:
    return getattr(scheduler, "optimizer", None) is optimizer


def _scale_scheduler(scheduler: Any, scale: Scale, group: int | None) -> None:
    for name in _SCHEDULER_LISTS:
        values = getattr(scheduler, name, None)
        # Nested schedulers may share one list.
        if isinstance(values, list) and scale.first_time(values):
            for index in range(len(values)):
                if group is None or index == group:
                    # Never in place: ``_last_lr`` may hold the very tensors of the groups.
                    values[index] = scale.number(values[index])
    for name in _SCHEDULER_NUMBERS:
        # One number for all groups: scaled only when all are.
        if group is None and isinstance(getattr(scheduler, name, None), Real):
            setattr(scheduler, name, scale.number(getattr(scheduler, name)))


def learning_rate_control(rates: LearningRates) -> ControlSpec | None:
    """Return the knob of a schedule's base; None where no optimizer is known."""
    base = rates.base()
    if base is None:
        return None
    return ControlSpec(
        name="learning_rate",
        title="Learning rate",
        description="Scales the whole schedule; what is set is its base.",
        minimum=0.0,
        logarithmic=True,
        current_value=base,
    )


def adjust_learning_rate(rates: LearningRates, command: ControlCommand) -> ControlOutcome:
    """Carry out ADJUST_LEARNING_RATE; a change that cannot hold is refused with its reason."""
    where = (command.optimizer_index, command.group)
    base = rates.base(*where)
    objection = learning_rate_objection(rates, command)
    if base is None or objection:
        return ControlOutcome(applied=False, message=objection, previous_value=base)
    rates.scale(wanted_scale(command, base), *where)
    return ControlOutcome(
        applied=True,
        previous_value=base,
        applied_value=rates.base(*where),
        read_back=lambda: rates.effective(*where),
    )


def learning_rate_objection(rates: LearningRates, command: ControlCommand) -> str:
    """Return why ADJUST_LEARNING_RATE would be refused; empty where it can be carried out."""
    where = (command.optimizer_index, command.group)
    base = rates.base(*where)
    if base is None:
        return "no optimizer is known here: pass it, session.control_point(optimizer)"
    try:
        wanted_scale(command, base)
        rates.check(*where)
    except RefusedError as refusal:
        return str(refusal)
    return ""


def wanted_scale(command: ControlCommand, base: float) -> Scale:
    """Return what a command multiplies a schedule of this base by.

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
