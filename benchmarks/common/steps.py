"""A real training that times its own steps: one line of JSON with their mean and p99 in ms.

    python -m common.steps STEPS --alone | MONITOR

Pictures are 16×16 (each digit enlarged), the batch is 256, the network has 1024 hidden units: a few
milliseconds a step on one core. Prints ``registered`` once a session is open and 50 steps are over.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext

import numpy as np

import trainmon
from common.report import percentile
from trainmon.demo.digits import CLASS_NAMES, load_digits
from trainmon.demo.network import Momentum, Perceptron, cross_entropy


def main() -> None:
    """Train and print."""
    steps, target = int(sys.argv[1]), sys.argv[2]
    random = np.random.default_rng(3)
    data = load_digits(random, 0.1)
    images = data.images.repeat(2, axis=1).repeat(2, axis=2)
    network = Perceptron((256, 1024, 10), random)
    optimizer = Momentum(network.parameters, 0.01)
    opened = (
        nullcontext()
        if target == "--alone"
        else trainmon.start_session("steps", monitor=target, class_names=CLASS_NAMES)
    )
    times = []
    with opened as session:
        for step in range(steps):
            started = time.perf_counter()
            chosen = random.integers(0, len(images), 256)
            batch, labels = images[chosen], data.labels[chosen]
            pixels = batch.reshape(256, -1)
            logits, hidden = network.forward(pixels)
            loss, of_logits = cross_entropy(logits, labels)
            optimizer.step(network.gradients(pixels, hidden, of_logits))
            if session is not None:
                session.batch_end(images=batch, outputs=logits, targets=labels, loss=loss)
                session.control_point(optimizer)
            times.append((time.perf_counter() - started) * 1e3)
            if step == 50:
                print("registered", flush=True)
                sys.stdin.readline()
                times.clear()
    print(json.dumps({"mean": sum(times) / len(times), "p99": percentile(times, 0.99)}))


if __name__ == "__main__":
    main()
