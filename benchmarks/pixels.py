"""From the end of a batch to pixels in a browser, and from a click to the training, on two cores.

A training near 60 batches a second, its relay, monitor and gateway, and a Chromium without a GPU
that shows the run's page at 60 frames a second, once with the demo's digits and once with pictures
of 256 px. New and painted frames are counted as the page counts them; the latency is from the end
of the batch, on the training's clock, to the painted picture, on the page's, the two compared
through the monitor's. The step is drawn into the pictures: what the canvas holds must tell the step
that the page says. A click is timed from the browser's event to the control point that applied it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from common.page import Watched, browser, chromium, clicks, open_run, spread, watch
from common.report import machine, percentile, publish, table
from common.stamped import RATE

from trainmon.cli.children import Child, trainmon_command
from trainmon.v1.control_pb2 import CommandState
from trainmon.v1.dashboard_pb2 import ListSessionsRequest, WatchSessionRequest
from trainmon_gateway.v1.dashboard_pb2_grpc import DashboardServiceStub

SECONDS = float(os.environ.get("SECONDS", "10"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
CLICKS = 12
#: What is shown, and on a screen of how many pixels to each of CSS: on the second, tiles have 256.
CONTENTS = {"digits": 1, "photos": 2}
STEP_MS = 1e3 / RATE
#: A rate is met within this part of it: the training's own beat is no exacter.
_RATE_SLACK = 0.01
#: Whose processor time is told, by a word of the command line; the first that fits.
_PARTS = {
    "relay": "trainmon.relay",
    "training": "common.stamped",
    "monitor": "serve",
    "gateway": "gateway",
    "page": "--type=renderer",
    "rest of the browser": "chrom",
}

Numbers = dict[str, float]


@dataclass(frozen=True)
class Run:
    """What one round found."""

    watched: Watched
    clicks_ms: list[float]
    """From each click to the control point that applied it."""
    cores: Numbers
    """Cores used by each part while the page was watched."""


@contextmanager
def system(content: str) -> Iterator[tuple[str, str]]:
    """Run a dashboard with a training, and give the addresses of dashboard and monitor."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TRAINMON_HOME": home, "OMP_NUM_THREADS": "1"}
        command = trainmon_command("gateway", "--port", "0", "--monitor-port", "0")
        gateway = Child("gateway", command, environment)
        training = None
        try:
            monitor = gateway.announced("monitor")
            address = gateway.announced("dashboard")
            gateway.pass_on(sys.stderr)
            here = str(Path(__file__).parent)
            paths = filter(None, (here, os.environ.get("PYTHONPATH")))
            command = [sys.executable, "-m", "common.stamped", content]
            told = {"TRAINMON_MONITOR": monitor, "PYTHONPATH": os.pathsep.join(paths)}
            training = Child("training", command, {**environment, **told})
            training.pass_on(sys.stderr)
            yield address, monitor
        finally:
            if training is not None:
                training.end()
            gateway.interrupt()
            gateway.wait(15)
            gateway.end()


def applied_ms(monitor: str) -> list[float]:
    """Return when each command was applied, in ms since the epoch by the training's clock."""
    with grpc.insecure_channel(monitor) as channel:
        stub = DashboardServiceStub(channel)
        session = stub.ListSessions(ListSessionsRequest(), timeout=10).sessions[0]
        request = WatchSessionRequest(session_id=session.session_id, frames_per_second=-1)
        stream = stub.WatchSession(request, timeout=10)
        records = next(stream).snapshot.commands
        stream.cancel()
    assert all(each.state == CommandState.COMMAND_STATE_APPLIED for each in records)
    return sorted(float(each.result.timestamp_ms) for each in records)


def processor_s() -> Numbers:
    """Return the processor time that each part has used so far, in seconds."""
    used = dict.fromkeys(_PARTS, 0.0)
    for process in psutil.Process().children(recursive=True):
        try:
            words, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        part = next((part for part, word in _PARTS.items() if word in words), None)
        if part is not None:
            used[part] += times.user + times.system
    return used


def measure(content: str) -> Run:
    """Watch one training for a while, then pause and resume it."""
    with system(content) as (address, monitor), chromium(CONTENTS[content]) as page:
        open_run(page, address)
        before = processor_s()
        watched = watch(page, SECONDS)
        after = processor_s()
        made = clicks(page, CLICKS)
        done = applied_ms(monitor)
        assert len(done) == len(made), f"{len(made)} clicks, {len(done)} commands"
        # One machine has one clock: nothing lies between the two but the way.
        took = [then - click for click, then in zip(made, done, strict=True)]
        cores = {part: (after[part] - before[part]) / SECONDS for part in _PARTS}
        return Run(watched, took, cores)


def row(name: str, values: list[float], limit: float | None, *, least: bool = False) -> list[str]:
    """Return a row: median and spread, the limit, and by how much it is met or missed."""
    median = statistics.median(values)
    told = f"{median:.1f} ({min(values):.1f} to {max(values):.1f})"
    if limit is None:
        return [name, told, "", ""]
    reached = median >= limit * (1 - _RATE_SLACK) if least else median <= limit
    verdict = "met" if reached else f"missed by {abs(median - limit):.1f}"
    return [name, told, f"{'≥' if least else '≤'} {limit:.1f}", verdict]


def rows(runs: list[Run]) -> list[list[str]]:
    """Return what was found of one content, each against its budget."""
    watched = [run.watched for run in runs]

    def each(value: Callable[[Watched], float]) -> list[float]:
        return [value(one) for one in watched]

    def latency(part: float) -> list[float]:
        return each(lambda one: spread(one.latencies_ms, part))

    def click(part: float) -> list[float]:
        return [percentile(run.clicks_ms, part) for run in runs]

    together = [took for run in runs for took in run.clicks_ms]
    return [
        row("new pictures per second", each(lambda one: one.received), RATE, least=True),
        row("frames painted per second", each(lambda one: one.painted), RATE, least=True),
        row("different steps painted per second", each(lambda one: one.distinct), RATE, least=True),
        row("frames per second, 1 % low", each(lambda one: one.low), None),
        row("longest gap between two frames, ms", each(lambda one: one.gap_ms), None),
        row("batch end to pixel, p50 ms", latency(0.5), 33),
        row("batch end to pixel, p99 ms", latency(0.99), 100),
        row("click to control point, p50 ms", click(0.5), None),
        row(f"click to control point, p99 of {len(together)}, ms",
            [percentile(together, 0.99)], 50 + STEP_MS),
    ]  # fmt: skip


def cores_row(content: str, runs: list[Run]) -> list[str]:
    """Return whose cores were used."""
    medians = [statistics.median(run.cores[part] for run in runs) for part in _PARTS]
    return [content, *(f"{value:.2f}" for value in medians), f"{sum(medians):.2f}"]


def main() -> None:
    """Measure and publish."""
    if not browser():  # what was published stays
        print("No browser found: install chromium, or set TRAINMON_CHROMIUM to one.")
        return
    runs: dict[str, list[Run]] = {content: [] for content in CONTENTS}
    for _ in range(ROUNDS):
        for content in CONTENTS:
            runs[content].append(measure(content))
    header = ("16 tiles of {}", "measured", "budget", "")
    names = {"digits": "8 px digits", "photos": "256 px pictures"}
    tables = [
        table((header[0].format(names[content]), *header[1:]), rows(found))
        for content, found in runs.items()
    ]
    used = table(
        ("cores used", *_PARTS, "together"), [cores_row(names[key], runs[key]) for key in CONTENTS]
    )
    read = sum(run.watched.read for found in runs.values() for run in found)
    publish(
        "pixels",
        *tables,
        used,
        f"{ROUNDS} rounds of {SECONDS:g} s each, {RATE} steps a second asked for. {read} stamps "
        "were read back from the canvas; every one told the step the page said it had painted.",
        machine("trainmon", "playwright"),
    )


if __name__ == "__main__":
    main()
