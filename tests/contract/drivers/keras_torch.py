"""Keras 3 on PyTorch."""

from __future__ import annotations

from collections.abc import Callable

from contract import LINE, NOTHING, Log, Plan, driver, main

PART = "keras"
NEEDS = ("keras", "torch", "trainmon_keras")
FRAMEWORK = "keras"
WAYS = (LINE, NOTHING)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True
KNOB = ""


def train(plan: Plan, log: Log) -> Callable[[], object]:
    """Train as the other driver does, on this backend."""
    end: Callable[[], object] = driver("keras").train(plan, log, "torch")
    return end


if __name__ == "__main__":
    main(train)
