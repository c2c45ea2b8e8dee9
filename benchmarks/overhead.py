"""What a training pays for being seen: time in the call, CPU, and step time, beside rivals.

    python benchmarks/overhead.py [--no-rivals]

First a loop at 60 Hz that computes from one step to the next, and in two cases waits, in rounds:
each kind of logging with trainmon, then a record by itself, copying and encoding the same pixels,
then the same logging in each rival. Then a real training in Torch with and without trainmon, in
pairs, and beside a process that encodes as many pictures. What was logged is asked for again: every
row of every series, and the step drawn into every picture that came. Takes some twenty minutes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time

from common import costs, pairs
from common.costs import Case, Cost, Limit
from common.monitored import monitored
from common.orders import Worker
from common.overhead_tables import (
    budgets,
    calls,
    middle,
    rivals_beside,
    step_times,
    unwatched,
)
from common.pairs import Kind, Steps
from common.report import machine, publish
from rivals.beside import Rival, rivals

ROUNDS = int(os.environ.get("ROUNDS", "3"))
PAIRS = int(os.environ.get("PAIRS", "5"))
_began_s = time.monotonic()


def note(text: str) -> None:
    """Say what is measured now."""
    print(f"{time.monotonic() - _began_s:6.0f} s  {text}", file=sys.stderr, flush=True)


def in_the_call(beside: list[Rival]) -> tuple[dict[Case, Cost], dict[Limit, list[float]]]:
    """Measure the calls: of trainmon, of nothing but copying and encoding, and of rivals."""
    ours = {case: Cost() for case in costs.CASES}
    limits: dict[Limit, list[float]] = {limit: [] for limit in costs.LIMITS}
    for number in range(ROUNDS):
        note(f"round {number + 1} of {ROUNDS}")
        with monitored() as monitor, Worker("common.calls") as worker:
            for case, found in costs.measure(monitor, worker, number, note):
                if isinstance(case, Limit):
                    limits[case].append(middle(found["times_ms"]))
                    continue
                ours[case].add(found)
                ours[case].pictures += found.get("pictures", 0)
                ours[case].edge = found.get("edge", 0)
        for rival in beside:
            note(f"the same in {rival.title}")
            rival.measure(note)
    return ours, limits


def in_a_training() -> dict[Kind, Steps]:
    """Measure a Torch training; nothing where Torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return {}
    found = {kind: Steps() for kind in pairs.KINDS}
    with (
        monitored() as monitor,
        Worker("common.torch_steps") as worker,
        Worker("common.calls") as encoder,
    ):
        for number in range(PAIRS):
            kinds = [
                kind for kind in pairs.KINDS if number < ROUNDS or kind.edge == pairs.BUDGETED_EDGE
            ]
            pairs.measure(monitor, worker, encoder, number, kinds, found, note)
    return found


def main() -> None:
    """Measure and publish."""
    beside = [] if "--no-rivals" in sys.argv else rivals(note)
    ours, limits = in_the_call(beside)
    trained = in_a_training()
    rows = sum(cost.steps for cost in ours.values()) + sum(
        steps.steps for kind, steps in trained.items() if kind.ours
    )
    pictures = sum(cost.pictures for cost in ours.values()) + sum(
        steps.pictures for steps in trained.values()
    )
    torch = ("torch",) if trained else ()
    publish(
        "overhead",
        budgets(ours, limits, trained),
        f"Each of {rows} steps measured here was found in the monitor's history, once, with its 5 "
        f"scalars; in each of {pictures} pictures delivered to a viewer the step was read that it "
        "says it is of, as drawn into it with a checksum. Trainings with trainmon and without came "
        "to the same loss, bit for bit.",
        "Milliseconds per step at 60 Hz. From one step to the next the training computes (on 12 "
        "MiB, in one thread) unless it is said to wait: who has waited finds colder caches. "
        f"Medians of {ROUNDS} rounds (least–greatest), rounds taking turns. Limits: a record of "
        "150 bytes with two looks at the clock, or copying the same pixels; and encoding them.",
        calls(ours, limits),
        unwatched(ours),
        "The same beside other tools, which write a local file while trainmon delivers to a viewer "
        "(JPEG where a tool has it; CPU until the tool rests again):",
        rivals_beside(ours, beside),
        "A Torch training on one thread, batches of 16 pictures, in pairs: those of "
        f"{pairs.BUDGETED_EDGE} px in {PAIRS} rounds, the others in {min(ROUNDS, PAIRS)}. A first "
        "layer of longer strides makes larger pictures alike for the rest:",
        step_times(trained) if trained else "Torch is not installed here: `make frameworks`.",
        machine("trainmon", "numpy", "pillow", *torch),
    )


if __name__ == "__main__":
    main()
