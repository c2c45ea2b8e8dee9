"""Step time of a real training with and without trainmon, in pairs.

A network in NumPy learns digits as fast as it goes, in processes that take turns: without
trainmon, with it and nobody watching, with it and watched at 60 frames a second. What counts is
the whole: our processes' share of the cores, the interpreter's lock and the caches.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from common.report import machine, table
from common.watched import Watcher, monitor

ROUNDS = 5
STEPS = 2500
KINDS = ("without trainmon", "nobody watching", "watched at 60 frames/s")


def train(kind: str) -> tuple[float, float, int]:
    """Return mean and p99 of the steps in ms, and how many pictures a viewer got."""
    with monitor() as address:
        target = "--alone" if kind == KINDS[0] else address
        process = subprocess.Popen(
            [sys.executable, "-m", "common.steps", str(STEPS), target],
            cwd=Path(__file__).parent,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        watcher = Watcher(address, 60, 64) if kind == KINDS[2] else None
        output, _ = process.communicate("go\n", timeout=300)
        told = json.loads(output)
        return told["mean"], told["p99"], watcher.end() if watcher else 0


def main() -> None:
    """Measure and print a table."""
    runs: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            runs[kind].append(train(kind))
    rows = []
    for kind in KINDS:
        row: list[object] = [kind]
        for index in (0, 1):
            pairs = zip(runs[kind], runs[KINDS[0]], strict=True)
            change = statistics.median(ours[index] / bare[index] for ours, bare in pairs) - 1
            median = statistics.median(run[index] for run in runs[kind])
            row += [f"{median:.3f}", f"{change:+.1%}"]
        rows.append([*row, sum(run[2] for run in runs[kind])])
    print(f"ms per step, medians of {ROUNDS} pairs of {STEPS} steps")
    print(table(("", "mean", "to without", "p99", "to without", "pictures delivered"), rows))
    print(machine("trainmon", "numpy"))


if __name__ == "__main__":
    main()
