"""A learning rate that is changed stays changed, under every scheduler Torch has."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from trainmon.capture.bare import BareLoop, LoopContext
from trainmon.capture.learning_rate import LearningRates, Scale
from trainmon.events import ControlCommand, ControlKind

torch = pytest.importorskip("torch", reason="torch is not installed")
schedules = torch.optim.lr_scheduler if torch else None

STEPS = 24
#: Within a warm-up, at its end, in the midst of what follows, and just before the last step.
CHANGES = (1, 5, 11, STEPS - 1)

Make = Callable[[Any], Any]


def plateau(optimizer: Any) -> Any:
    """A scheduler that lowers the rate where the loss stands still, down to a floor."""
    return schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.005)


def sequence(optimizer: Any) -> Any:
    """Warm-up, and then a cosine."""
    warm_up = schedules.LinearLR(optimizer, start_factor=0.1, total_iters=5)
    cosine = schedules.CosineAnnealingLR(optimizer, T_max=15, eta_min=0.001)
    return schedules.SequentialLR(optimizer, [warm_up, cosine], milestones=[5])


def chain(optimizer: Any) -> Any:
    """Two schedulers at once."""
    first = schedules.ConstantLR(optimizer, factor=0.1, total_iters=4)
    return schedules.ChainedScheduler(
        [first, schedules.ExponentialLR(optimizer, gamma=0.9)], optimizer
    )


def averaging(optimizer: Any) -> Any:
    """Annealing to the rate of weight averaging."""
    return torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.01, anneal_epochs=6)


MAKERS: dict[str, Make] = {
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda step: min(1.0, (step + 1) / 7)),
    "LambdaLR-from-zero": lambda o: schedules.LambdaLR(o, lambda step: min(1.0, step / 7)),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, lambda step: 0.95),
    "StepLR": lambda o: schedules.StepLR(o, step_size=5, gamma=0.5),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, milestones=[3, 11], gamma=0.1),
    "ConstantLR": lambda o: schedules.ConstantLR(o, factor=0.3, total_iters=6),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, gamma=0.9),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, T_max=20, eta_min=0.002),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(
        o, T_0=7, T_mult=2, eta_min=0.002
    ),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, max_lr=0.4, total_steps=STEPS + 1),
    "CyclicLR": lambda o: schedules.CyclicLR(o, base_lr=0.01, max_lr=0.3, step_size_up=4),
    "CyclicLR-triangular2": lambda o: schedules.CyclicLR(
        o, base_lr=0.01, max_lr=0.3, step_size_up=3, mode="triangular2"
    ),
    "LinearLR": lambda o: schedules.LinearLR(o, start_factor=0.2, total_iters=9),
    "PolynomialLR": lambda o: schedules.PolynomialLR(o, total_iters=20, power=2.0),
    "ReduceLROnPlateau": plateau,
    "SequentialLR": sequence,
    "ChainedScheduler": chain,
    "SWALR": averaging,
}


def optimizer_of(rate: Any = 0.1) -> Any:
    """An optimizer of two groups, the second at a tenth of the first."""
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": rate * 0.1}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9)


def rates_of(make: Make, change_at: int | None = None, factor: float = 1.0) -> list[list[float]]:
    """Return the rates of both groups at every step, changed by a factor before one of them."""
    optimizer = optimizer_of()
    scheduler = make(optimizer)
    seen = []
    for step in range(STEPS):
        if step == change_at:
            LearningRates((optimizer,), (scheduler,)).scale(Scale(factor), None, None)
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        with warnings.catch_warnings():
            # SequentialLR steps its parts by epoch, which Torch itself warns of.
            warnings.simplefilter("ignore", UserWarning)
            scheduler.step(*([1.0] if isinstance(scheduler, schedules.ReduceLROnPlateau) else []))
    return seen


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("change_at", CHANGES)
def test_the_schedule_is_scaled_from_the_change_on(name: str, change_at: int) -> None:
    """At every step after a change the rate in force is the schedule's, scaled by hand."""
    plain = rates_of(MAKERS[name])
    changed = rates_of(MAKERS[name], change_at, 3.0)
    for step, (before, after) in enumerate(zip(plain, changed, strict=True)):
        factor = 3.0 if step >= change_at else 1.0
        assert after == pytest.approx([rate * factor for rate in before], rel=1e-9), step


def test_schedulers_given_twice_are_scaled_once() -> None:
    """A loop that passes a sequence and its parts, and an optimizer twice, scales each once."""
    optimizer = optimizer_of()
    parts = [
        schedules.ConstantLR(optimizer, factor=1.0),
        schedules.LambdaLR(optimizer, lambda _: 1.0),
    ]
    whole = schedules.SequentialLR(optimizer, parts, milestones=[1])
    LearningRates((optimizer, optimizer), (whole, *parts)).scale(Scale(2.0), None, None)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.02])
    assert all(part.base_lrs == pytest.approx([0.2, 0.02]) for part in (whole._schedulers))
    assert parts[0].get_last_lr() == pytest.approx([0.2, 0.02])
    assert whole.get_last_lr() == pytest.approx([0.2, 0.02])


def test_a_tensor_shared_by_groups_is_scaled_once_and_in_place() -> None:
    """Groups that share one tensor for their rate keep it, and it is multiplied once."""
    rate = torch.tensor(0.1, dtype=torch.float64)
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    optimizer = torch.optim.Adam([{"params": [each]} for each in parameters], lr=rate)
    groups = optimizer.param_groups
    assert groups[0]["lr"] is groups[1]["lr"]
    LearningRates((optimizer,), ()).scale(Scale(2.0), None, None)
    assert groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.2)


def outcome(rate: float, **command: Any) -> Any:
    """Return what becomes of a command to an optimizer without a schedule."""
    optimizer = optimizer_of(rate)

    class Session:
        control_context = LoopContext((optimizer,), ())

    adjust = ControlCommand("c", ControlKind.ADJUST_LEARNING_RATE, **command)
    found = BareLoop().trainmon_apply_control(Session(), adjust)
    return found, [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 7e-5, 0.7])
def test_what_is_asked_for_is_what_is_set(value: float) -> None:
    """The new base is the number that was asked for, to the last bit."""
    found, rates = outcome(0.3, value=value)
    assert found.applied_value == value == rates[0]


@pytest.mark.parametrize(
    "command",
    [
        {"value": 0.0},
        {"value": -1.0},
        {"value": float("nan")},
        {"value": float("inf")},
        {"factor": 0.0},
        {"factor": float("nan")},
        {"factor": 1e308},
        {},
    ],
)
def test_a_rate_that_is_none_is_refused(command: dict[str, float]) -> None:
    """Zero, negative, NaN, infinite or absent: refused with what it was, and nothing changes."""
    found, rates = outcome(100.0, **command)
    assert not found.applied
    assert "expected a finite one above 0" in found.message
    assert rates == [100.0, 10.0]
