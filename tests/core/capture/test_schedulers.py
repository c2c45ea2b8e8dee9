"""A learning rate that is changed stays changed, under every scheduler Torch has."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from trainmon.capture.bare import BareLoop, LoopContext
from trainmon.capture.learning_rate import LearningRates, Scale
from trainmon.events import ControlCommand, ControlKind

pytest.importorskip("torch", reason="torch is not installed")

import torch

from schedulers import CHANGES, MAKERS, STEPS, Make, schedules


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
