"""Every scheduler Torch has, as trainings make them, and when tests change the rate under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["CHANGES", "MAKERS", "STEPS", "Make", "schedules"]

schedules = torch.optim.lr_scheduler

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
