"""A training that writes down by itself what every step was.

python -m kills.training FOLDER --seed N: its log is FOLDER/steps, a line for each step, written
when ``batch_end`` has returned: step, time in ns, and each scalar's name and value, exact. Values
that a command set are lines of FOLDER/levels. Every EPOCH_STEPS steps an epoch ends, whose
validation loss is the loss of its last step. While there is FOLDER/hurry it knows no --rate. It
ends where FOLDER/stop appears, by a command, or after --steps; then FOLDER/end has the number of
steps and the checksum of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import trainmon
from kills.tiny import EPOCH_STEPS, Tiny

#: What a step that came late may be made up for, in seconds.
_MOST_LATE_S = 0.05
_LOOK_STEPS = 10


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=150, help="steps a second; 0: no limit")
    options = parser.parse_args()
    folder: Path = options.folder
    log = os.open(folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    levels = os.open(folder / "levels", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    tiny = Tiny(options.seed)
    names = ["upper left", "upper right", "lower left", "lower right"]
    with trainmon.start_session(folder.name, class_names=names, run_key=folder.name) as session:
        session.add_control(
            "level", lambda value: os.write(levels, f"{float(value).hex()}\n".encode())
        )
        # A command to stop leaves the block, too.
        _train(session, tiny, log, folder, options.steps, options.rate)
    end = {"steps": tiny.steps, "checksum": tiny.checksum, "counts": session.counts}
    (folder / "end").write_text(json.dumps(end))


def _train(
    session: trainmon.Session, tiny: Tiny, log: int, folder: Path, most: int, rate: float
) -> None:
    stop, hurry = folder / "stop", folder / "hurry"
    hurries = False
    due_s = time.monotonic()
    for number in range(most):
        if number % _LOOK_STEPS == 0 and stop.exists():
            return
        step = tiny.step()
        metrics = {name: value for name, value in step.scalars.items() if name != "loss"}
        session.batch_end(
            images=step.images,
            outputs=step.logits,
            targets=step.targets,
            loss=step.scalars["loss"],
            metrics=metrics,
        )
        told = " ".join(f"{name}={value.hex()}" for name, value in step.scalars.items())
        os.write(log, f"{number} {time.time_ns()} {told}\n".encode())
        if (number + 1) % EPOCH_STEPS == 0:
            session.epoch_end(validation_loss=step.scalars["loss"])
        session.control_point()
        if number % _LOOK_STEPS == 0:
            hurries = hurry.exists()
        if rate and not hurries:
            due_s = max(due_s + 1 / rate, time.monotonic() - _MOST_LATE_S)
            time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main()
