"""Each schedule of transformers, as it is and changed in mid-run: the rate of every update.

``python schedules.py FOLDER`` writes FOLDER/facts.json, by the name of the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from account import ACCOUNT, AtStep, main
from models import fit, pictures
from transformers import TrainerCallback
from transformers.trainer_utils import SchedulerType

from trainmon.adapters import adjust_learning_rate
from trainmon.events import ControlCommand, ControlKind

STEPS = 16
FACTOR = 0.3
#: Within the warm-up, at its end, in the midst of what follows, and before the last update.
CHANGES = (1, 3, 8, STEPS - 1)
KEYWORDS: dict[str, dict[str, Any]] = {
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0, "lr_end": 0.001},
    "reduce_lr_on_plateau": {"factor": 0.5, "patience": 1, "min_lr": 0.002},
    "cosine_with_min_lr": {"min_lr": 0.002},
    "cosine_warmup_with_min_lr": {"min_lr": 0.002, "warmup_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 5, "min_lr_ratio": 0.1},
    "greedy": {"factor": 0.5, "patience": 0, "min_lr": 0.02, "max_lr": 0.3, "reset_start": 2},
}
#: What an evaluation finds, as the two that look at it see it: better for a while, then no more.
FOUND = (5, 4, 3, 2, *[2] * STEPS)


class Line(torch.nn.Module):
    """Softmax regression."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(64, 3)

    def forward(self, pixel_values: Any, labels: Any) -> Any:
        logits = self.line(pixel_values.flatten(1))
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class Rates(TrainerCallback):
    """The rate with which each update is made."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_pre_optimizer_step(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
        self.rates.append(float(optimizer.param_groups[0]["lr"]))


def rates_of(folder: Path, name: str, changes: Sequence[int]) -> list[float]:
    """Return the rate of every update, scaled after each of some of them."""
    told = Rates()
    callbacks: list[Any] = [told]

    def change(_: Any) -> None:
        session = ACCOUNT.open_session()
        command = ControlCommand("c", ControlKind.ADJUST_LEARNING_RATE, factor=FACTOR)
        outcome = adjust_learning_rate(session.control_context, command)
        assert outcome.applied, outcome.message

    callbacks += [AtStep(step, change) for step in changes]
    watching: dict[str, Any] = {}
    if name in ("reduce_lr_on_plateau", "greedy"):
        found = iter(FOUND)
        watching = {
            "eval_dataset": pictures()[:4],
            "eval_strategy": "steps",
            "eval_steps": 1,
            "metric_for_best_model": "found",
            "greater_is_better": False,
            "compute_metrics": lambda _: {"found": next(found)},
        }
    warm = {} if watching or name == "constant" else {"warmup_steps": 3}
    fit(
        folder, Line(), pictures(), max_steps=STEPS, learning_rate=0.1, optim="sgd",
        lr_scheduler_type=name, lr_scheduler_kwargs=KEYWORDS.get(name, {}), callbacks=callbacks,
        **watching, **warm,
    )  # fmt: skip
    return told.rates


def training(name: str, folder: Path) -> dict[str, Any]:
    """Return the rates as they are, and with every change."""
    plain = rates_of(folder, name, ())
    told = [metrics["learning_rate"] for metrics in ACCOUNT.metrics]
    notes = ACCOUNT.notes
    ACCOUNT.forget()
    changed = rates_of(folder, name, CHANGES)
    notes = [*notes, *ACCOUNT.notes]
    ACCOUNT.forget()
    return {"plain": plain, "told": told, "changed": changed, "notes": notes}


def named(name: str) -> Callable[[Path], dict[str, Any]]:
    """Return the training of one schedule, under its name."""
    made = partial(training, name)
    made.__name__ = name  # type: ignore[attr-defined] # what a function has
    return made


if __name__ == "__main__":
    main([named(each.value) for each in SchedulerType])
