"""Step time in Lightning, Keras and the Hugging Face Trainer with and without trainmon, in pairs.

    python benchmarks/frameworks.py [FRAMEWORK…]

The same small training in processes that take turns: without trainmon, with it and nobody
watching, with it and 16 tiles watched at 60 frames a second. Frameworks that are not installed are
left out.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from common.frameworks import TRAININGS
from common.report import machine, publish, table
from common.watched import Watcher, monitor

ROUNDS = int(os.environ.get("ROUNDS", "5"))
STEPS = int(os.environ.get("FRAMEWORK_STEPS", "1000"))
KINDS = ("without trainmon", "nobody watching", "watched at 60 frames/s")
NEEDS = {"hf-trainer": ("transformers", "accelerate"), "lightning": ("lightning",)}
TIMEOUT_S = 600
TILE = 128

Run = tuple[float, float, int]


def train(name: str, kind: str) -> Run:
    """Return mean and p99 of the steps in ms, and how many pictures a viewer got."""
    with monitor() as address:
        process = subprocess.Popen(
            [sys.executable, "-m", "common.frameworks", name, str(STEPS),
             "--alone" if kind == KINDS[0] else "--shown"],
            cwd=Path(__file__).parent,
            env={**_environment(), **({} if kind == KINDS[0] else {"TRAINMON_MONITOR": address})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "registered\n":
            continue
        if not line:
            raise RuntimeError(f"{name} ended before its first steps")
        watcher = Watcher(address, 60, TILE) if kind == KINDS[2] else None
        output, _ = process.communicate("go\n", timeout=TIMEOUT_S)
        told = json.loads(output.splitlines()[-1])
        return told["mean"], told["p99"], watcher.end() if watcher else 0


def _environment() -> dict[str, str]:
    """Return what all run under: one thread of arithmetic, and none of the user's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAINMON_")}
    return {**kept, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def installed(name: str) -> bool:
    """Return whether what a training needs is there."""
    modules = NEEDS.get(name, ("keras", name.removeprefix("keras-")))
    return all(importlib.util.find_spec(module) is not None for module in modules)


def rows_of(name: str) -> list[list[object]]:
    """Measure one framework."""
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            runs[kind].append(train(name, kind))
    rows: list[list[object]] = []
    for kind in KINDS:
        row: list[object] = [name, kind]
        for index in (0, 1):
            pairs = list(zip(runs[kind], runs[KINDS[0]], strict=True))
            changes = sorted(ours[index] / bare[index] - 1 for ours, bare in pairs)
            median = statistics.median(run[index] for run in runs[kind])
            row += [f"{median:.3f}", f"{statistics.median(changes):+.1%}",
                    f"{changes[0]:+.1%} to {changes[-1]:+.1%}"]  # fmt: skip
        rows.append([*row, sum(run[2] for run in runs[kind])])
    return rows


def main() -> None:
    """Measure and print a table."""
    names = [name for name in sys.argv[1:] or TRAININGS if installed(name)]
    if not names:  # what was published stays
        print("No framework is installed here: make frameworks.")
        return
    rows = [row for name in names for row in rows_of(name)]
    header = ("", "", "mean", "to without", "spread", "p99", "to without", "spread", "pictures")
    packages = ("keras", "tensorflow-cpu", "jax", "torch", "lightning", "transformers")
    publish(
        "frameworks",
        f"In frameworks: ms per step, medians of {ROUNDS} pairs of {STEPS} steps:",
        table(header, rows),
        machine("trainmon", *(each for each in packages if _known(each))),
    )


def _known(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
