"""Lightning, by its older name: ``import pytorch_lightning``."""

from __future__ import annotations

from collections.abc import Callable

from contract import LINE, NOTHING, Log, Plan, driver, main

PART = "lightning"
NEEDS = ("pytorch_lightning", "trainmon_lightning")
FRAMEWORK = "pytorch_lightning"
WAYS = (LINE, NOTHING)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True
KNOB = "gradient_clip_val"


def train(plan: Plan, log: Log) -> Callable[[], object]:
    """Train as the other driver does, with this package's Trainer."""
    end: Callable[[], object] = driver("lightning").train(plan, log, "pytorch_lightning")
    return end


if __name__ == "__main__":
    main(train)
