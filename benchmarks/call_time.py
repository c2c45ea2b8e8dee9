"""Time the training's thread spends in trainmon per step, watched at 60 frames a second.

Beside it in the same run the limit: copying the same 16 tiles, which no tool can do without. Each
step is followed by a wait to the next sixtieth of a second, as in a training of that speed; what
arrived at the viewer is counted, so that nothing is won by doing less.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from common.report import machine, percentile, table
from common.watched import Watcher, monitor

import trainmon

RATE = 60.0
STEPS = 600
ROUNDS = 3
SCALARS = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}


@dataclass
class Case:
    """What is logged at each step."""

    name: str
    images: np.ndarray | None
    tile: int


def cases() -> list[Case]:
    """Return what is measured."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (16, 256, 256, 3), dtype=np.uint8)
    floats = (pictures / 255).astype(np.float32)
    large = random.integers(0, 256, (64, 3, 512, 512), dtype=np.uint8)
    return [
        Case("5 scalars", None, 256),
        Case("+ 16 tiles 256 px uint8", pictures, 256),
        Case("+ 16 tiles 256 px float32", floats, 256),
        Case("+ 16 of 64, 512 px to 256, uint8", large, 256),
    ]


def paced(step: Callable[[], None], steps: int) -> list[float]:
    """Run steps at 60 a second and return how long each took, in ms."""
    times = []
    due = time.perf_counter()
    for _ in range(steps):
        started = time.perf_counter()
        step()
        times.append((time.perf_counter() - started) * 1e3)
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
    return times


def measure(address: str, case: Case) -> tuple[list[float], int]:
    """Return the times of the calls in ms, and how many pictures the viewer got meanwhile."""
    labels = np.arange(64 if case.images is None else len(case.images)) % 10
    logits = np.random.default_rng(1).normal(size=(len(labels), 10))
    with trainmon.start_session(case.name, monitor=address) as session:

        def step() -> None:
            if case.images is None:
                session.batch_end(loss=0.5, metrics=SCALARS)
            else:
                session.batch_end(
                    images=case.images, outputs=logits, targets=labels, loss=0.5, metrics=SCALARS
                )
            session.control_point()

        def warm_up() -> None:
            while not ready.is_set():
                paced(step, 6)

        if case.images is None:
            return paced(step, STEPS), 0
        ready = threading.Event()
        thread = threading.Thread(target=lambda: _watch(address, case, watchers, ready))
        watchers: list[Watcher] = []
        thread.start()
        warm_up()
        thread.join()
        times = paced(step, STEPS)
        return times, watchers[0].end()


def _watch(address: str, case: Case, watchers: list[Watcher], ready: threading.Event) -> None:
    try:
        watchers.append(Watcher(address, RATE, case.tile))
        watchers[0].wait_for_pictures()
    finally:
        ready.set()


def limit(case: Case) -> list[float]:
    """Return the times in ms of copying what the case has to copy."""
    if case.images is None:
        return [0.0]
    images = case.images[:16]
    stride = max(1, max(images.shape[1:3]) // case.tile) if images.shape[3] <= 4 else 2
    chosen = images if stride == 1 else images[:, :, ::stride, ::stride]
    target = np.empty(chosen.shape, chosen.dtype)
    return paced(lambda: np.copyto(target, chosen), 120)


def main() -> None:
    """Measure and print a table."""
    rows = []
    for case in cases():
        rounds, pictures = [], 0
        for _ in range(ROUNDS):
            with monitor() as address:
                times, seen = measure(address, case)
            rounds.append((percentile(times, 0.5), percentile(times, 0.99)))
            pictures += seen
        p50, p99 = (percentile([each[index] for each in rounds], 0.5) for index in (0, 1))
        floor = limit(case)
        rows.append(
            (
                case.name,
                f"{p50:.3f} / {p99:.3f}",
                f"{percentile(floor, 0.5):.3f} / {percentile(floor, 0.99):.3f}",
                pictures,
            )
        )
    print(f"ms in the call per step, p50 / p99 of {STEPS} steps, median of {ROUNDS} runs")
    print(table(("per step", "trainmon", "copying alone", "pictures delivered"), rows))
    print(machine("trainmon", "numpy"))


if __name__ == "__main__":
    main()
