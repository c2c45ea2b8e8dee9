"""Lightning, by its older name: ``import pytorch_lightning``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from contract import LINE, NOTHING, Log, Plan, main

PART = "lightning"
NEEDS = ("pytorch_lightning", "trainmon_lightning")
FRAMEWORK = "pytorch_lightning"
WAYS = (LINE, NOTHING)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True


def train(plan: Plan, log: Log) -> Callable[[], object]:
    """Train as the other driver does, with this package's Trainer."""
    spec = importlib.util.spec_from_file_location(
        "driver_of_lightning", Path(__file__).with_name("lightning.py")
    )
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    end: Callable[[], object] = other.train(plan, log, "pytorch_lightning")
    return end


if __name__ == "__main__":
    main(train)
