"""Memory of monitor, relay and training through a day's run, in accelerated time.

A training of 864,000 steps, ten a second for a day, of five scalars each and with samples, runs as
many times faster as the machine allows, up to 8,000 steps a second, with a real relay and a real
monitor; key frames come as much more often, too. What each process has resident is read after equal
parts of the run. At the end every step must be in the store. ``DAY_STEPS``
(environment) sets another length.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import psutil
from common.report import machine, publish, table
from common.watched import monitor

from trainmon.v1.dashboard_pb2 import ListSessionsRequest, QueryMetricsRequest
from trainmon_gateway.v1.dashboard_pb2_grpc import DashboardServiceStub

STEPS = int(os.environ.get("DAY_STEPS", "864000"))
STEPS_PER_S = 8000
PARTS = 16
MEBIBYTE = 1 << 20
SERIES = ("loss", "a", "b", "c", "d")
TIMEOUT_S = 300.0


def relay_of(training: psutil.Process) -> psutil.Process:
    """Return the relay of a training."""
    for child in training.children(recursive=True):
        if "trainmon.relay" in " ".join(child.cmdline()):
            return child
    raise RuntimeError("the training has no relay")


def monitor_at(address: str) -> psutil.Process:
    """Return the process that listens at an address."""
    port = int(address.rpartition(":")[2])
    for process in psutil.Process().children(recursive=True):
        if any(each.laddr.port == port for each in process.net_connections()):
            return process
    raise RuntimeError(f"nothing of ours listens at {address}")


def wait_for_session(stub: DashboardServiceStub) -> None:
    """Return once the monitor knows the run."""
    deadline = time.monotonic() + TIMEOUT_S
    while not stub.ListSessions(ListSessionsRequest()).sessions:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the run was not registered within {TIMEOUT_S:g} s")
        time.sleep(0.1)


def stored(stub: DashboardServiceStub) -> dict[str, float]:
    """Return how many steps of each series the store has."""
    (session,) = stub.ListSessions(ListSessionsRequest()).sessions
    request = QueryMetricsRequest(session_id=session.session_id, max_points=1000)
    answer = stub.QueryMetrics(request)
    return {
        each.name: sum(each.counts) if each.counts else len(each.steps) for each in answer.series
    }


def train(address: str, stub: DashboardServiceStub) -> tuple[dict[str, list[float]], float, float]:
    """Train; return MiB of each process after each part, seconds it took, and µs in a step."""
    interval = {"TRAINMON_KEY_FRAME_INTERVAL": "0.1"}
    arguments = (address, str(STEPS), str(STEPS_PER_S), str(PARTS))
    with tempfile.TemporaryDirectory() as home, subprocess.Popen(
        [sys.executable, "-m", "common.long_run", *arguments],
        cwd=Path(__file__).parent,
        env={**os.environ, **interval, "TRAINMON_HOME": home, "TRAINMON_EXIT_TIMEOUT": "60"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().strip() == "open"
        wait_for_session(stub)
        process.stdin.write("\n")
        process.stdin.flush()
        began = time.perf_counter()
        memory: dict[str, list[float]] = {"training": [], "relay": [], "monitor": []}
        training = psutil.Process(process.pid)
        for _ in range(PARTS):
            step = process.stdout.readline().strip()
            watched = (training, relay_of(training), monitor_at(address))
            for name, each in zip(memory, watched, strict=True):
                memory[name].append(each.memory_info().rss / MEBIBYTE)
            told = ", ".join(f"{name} {each[-1]:.0f}" for name, each in memory.items())
            print(f"  step {step}: {told} MiB", flush=True)
            process.stdin.write("\n")
            process.stdin.flush()
        spent = float(process.stdout.readline())
        took = time.perf_counter() - began
        process.wait(TIMEOUT_S)
    return memory, took, spent


def row(name: str, memory: list[float]) -> tuple[object, ...]:
    """Return the memory of one process as a row."""
    half = len(memory) // 2
    growth = (memory[-1] - memory[half]) / (len(memory) - 1 - half) * PARTS
    return (
        name,
        f"{memory[0]:.1f}",
        f"{memory[half]:.1f}",
        f"{memory[-1]:.1f}",
        f"{max(memory):.1f}",
        f"{growth:+.1f}",
    )


def main() -> None:
    """Measure, and publish."""
    with monitor() as address, grpc.insecure_channel(address) as channel:
        stub = DashboardServiceStub(channel)
        memory, took, spent = train(address, stub)
        found = stored(stub)
    assert set(SERIES) <= set(found), found
    missing = {name: STEPS - found[name] for name in SERIES if found[name] != STEPS}
    assert not missing, f"steps that are not in the store: {missing}"
    publish(
        "day",
        f"Memory, MiB, through a run of {STEPS:,} steps with {len(SERIES)} scalars each and key "
        f"frames, in {took:.0f} s: a day of ten steps a second. Every step is in the store.",
        table(
            ("", "first", "middle", "last", "most", "second half, per day"),
            [row(name, values) for name, values in memory.items()],
        ),
        f"A step spent {spent:.0f} µs in trainmon, as one of {STEPS / took:,.0f} a second.",
        machine("trainmon", "numpy"),
    )


if __name__ == "__main__":
    main()
