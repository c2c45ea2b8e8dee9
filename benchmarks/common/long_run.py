"""A training of very many short steps: five scalars each, and samples to take key frames of.

    python -m common.long_run MONITOR STEPS STEPS_PER_S LOOKS

Prints ``open`` once there is a session, then the step after each of so many equal parts, and each
time waits for a line before it goes on; at the end the mean time a step spent in trainmon, in µs.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import trainmon

#: Steps between two looks at the clock.
BURST = 100


def main() -> None:
    """Train."""
    address, (steps, rate, looks) = sys.argv[1], map(int, sys.argv[2:5])
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    logits, labels = random.normal(size=(16, 10)), np.arange(16) % 10
    spent = 0.0
    with trainmon.start_session("a day", monitor=address) as session:
        print("open", flush=True)
        sys.stdin.readline()
        due = time.perf_counter()
        for step in range(steps):
            began = time.perf_counter()
            session.batch_end(
                images=images, outputs=logits, targets=labels, loss=1 / (step + 1),
                metrics={"a": step, "b": -step, "c": step % 7, "d": 0.5},
            )  # fmt: skip
            session.control_point()
            spent += time.perf_counter() - began
            if not (step + 1) % BURST:
                due = max(due + BURST / rate, time.perf_counter() - 1.0)
                time.sleep(max(0.0, due - time.perf_counter()))
            if not (step + 1) % (steps // looks):
                print(step + 1, flush=True)
                sys.stdin.readline()
    print(spent / steps * 1e6, flush=True)


if __name__ == "__main__":
    main()
