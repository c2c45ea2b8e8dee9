"""The durable store: how fast records are safe, how fast a long run opens, and what it takes.

Ingest: records of five series with one step each, as many at a time as there are trainings, until
each is committed; then the same over the wire, until each is acknowledged to its training. Beside
it in the same run the limit: the same bytes inserted into a bare SQLite database of the same
settings, one transaction each. Then one long run of five series, written in bulk, opened whole and
zoomed into, in this process and over gRPC; whether every spike planted in it is in the answer; its
size per million points; and the memory of this process while it was written. ``STORE_STEPS``
(environment) sets its length, 10 million by default.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import numpy as np
import psutil
from common.crowd import Crowd
from common.report import machine, publish, table
from common.servers import started
from grpclib.client import Channel

from trainmon.config import Settings
from trainmon.monitor.server import MonitorServer
from trainmon.monitor.store.base import MetricsQuery, Record
from trainmon.monitor.store.columns import Rows
from trainmon.monitor.store.durable.codec import encode_rows
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.dashboard_pb2 import QueryMetricsRequest, QueryMetricsResponse
from trainmon.v1.telemetry_grpc import TelemetryServiceStub
from trainmon.v1.telemetry_pb2 import (
    MetricData,
    MetricSeries,
    RegisterTrainingSessionRequest,
)

NAMES = ("loss", "accuracy", "learning_rate", "grad_norm", "throughput")
STEPS = int(os.environ.get("STORE_STEPS", "10000000"))
ROWS = 5000
RECORDS = 4000
WIRE_S = 3.0
ROUNDS = 5
MEBIBYTE = 1 << 20
WIDE = 2000
TRAININGS = (1, 10, 100)
#: How fast the long run must open, in ms.
OPENS_MS = 300
#: Spikes planted in the loss, no two of them in one point of the answer, and the least of them.
SPIKES, SPIKE = 40, 1000.0


def one_step(step: int) -> list[MetricSeries]:
    """Return one row of each series."""
    return [
        MetricSeries(name=name, steps=[step], times=[step], values=[step / (index + 1)])
        for index, name in enumerate(NAMES)
    ]


async def ingest(folder: Path, trainings: int) -> float:
    """Return records a second, each acknowledged before its training sends the next."""
    store = SqlStore(folder / f"ingest-{trainings}", 64 * MEBIBYTE, 64 * MEBIBYTE)
    each = RECORDS // trainings

    async def train(number: int) -> None:
        for sequence in range(1, each + 1):
            await store.append(f"s{number}", Record("p", sequence, series=one_step(sequence)))

    started = time.perf_counter()
    await asyncio.gather(*map(train, range(trainings)))
    took = time.perf_counter() - started
    await store.close()
    return each * trainings / took


async def ingest_over_the_wire(trainings: int) -> float:
    """Return records a second of real streams, each acknowledged before the next is sent."""
    async with AsyncExitStack() as stack:
        address, _ = stack.enter_context(started("monitor", None, "serve", "--port", "0"))
        crowd = Crowd(address, stack)
        await crowd.grow(trainings)
        began = time.perf_counter()

        async def train(number: int) -> None:
            while time.perf_counter() - began < WIRE_S:
                crowd.trainers[number].tell(1)
                await crowd.trainers[number].until_acknowledged()

        await asyncio.gather(*map(train, range(trainings)))
        took = time.perf_counter() - began
        crowd.check()
        assert all(each.acknowledged == each.told for each in crowd.trainers)
        return sum(each.acknowledged for each in crowd.trainers) / took


def bare(folder: Path) -> float:
    """Return transactions a second of the same bytes in a bare database."""
    data = MetricData(series=one_step(1)).SerializeToString()
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE tail (position INTEGER PRIMARY KEY, message BLOB)")
        started = time.perf_counter()
        for _ in range(RECORDS):
            connection.execute("INSERT INTO tail (message) VALUES (?)", (data,))
        return RECORDS / (time.perf_counter() - started)


def spikes() -> dict[int, float]:
    """Return where the loss jumps, and to what."""
    apart = STEPS // SPIKES
    return {number * apart + apart // 3: SPIKE + number for number in range(SPIKES)}


def part_of_a_run(
    random: np.random.Generator, start: int, count: int, planted: dict[int, float]
) -> list[MetricSeries]:
    """Return rows as trainings have them: noise around a falling curve, times of a clock."""
    steps = np.arange(start, start + count, dtype=float)
    times = 1.7e12 + steps * 10 + random.integers(0, 3, count)
    series = []
    for index, name in enumerate(NAMES):
        values = (np.exp(-steps / 1e6) + random.normal(0, 0.05, count)).astype(np.float32)
        rows = Rows(steps, times, values.astype(float) * (index + 1))
        for step, value in planted.items() if name == "loss" else ():
            if start <= step < start + count:
                rows.values[step - start] = value
        series.append(MetricSeries.FromString(encode_rows(name, 0, rows)))
    return series


async def long_run(store: SqlStore, session_id: str) -> tuple[float, list[float]]:
    """Write a long run; return rows a second, and memory in MiB along the way."""
    random, planted = np.random.default_rng(0), spikes()
    process = psutil.Process()
    memory = []
    started_s = time.perf_counter()
    for number, start in enumerate(range(0, STEPS, ROWS)):
        series = part_of_a_run(random, start, min(ROWS, STEPS - start), planted)
        await store.append(session_id, Record("p", number + 1, series=series))
        if number % max(STEPS // ROWS // 5, 1) == 0:
            memory.append(process.memory_info().rss / MEBIBYTE)
            print(f"  {start:,} of {STEPS:,} steps written", flush=True)
    await store.settle()
    return STEPS * len(NAMES) / (time.perf_counter() - started_s), memory


async def timed(ask: Callable[[], Awaitable[object]]) -> list[float]:
    """Return the times of a question asked several times, in ms."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1e3)
    return times


def told(times: list[float]) -> str:
    """Return the median of times, the first and the worst."""
    return f"{statistics.median(times):.0f} ({times[0]:.0f}, {max(times):.0f})"


async def questions(
    store: SqlStore, stub: DashboardServiceStub, session_id: str
) -> tuple[list[tuple[str, str, str]], float]:
    """Return what opening and zooming take, and ms of opening all of it over gRPC."""
    middle = STEPS // 2
    asked = {
        "open all of it": (None, None),
        "a tenth, off the grain": (middle + 7, middle + STEPS // 10 + 7),
        "100,000 steps": (middle + 7, middle + 100_007),
        "5,000 steps": (middle + 7, middle + 5007),
        "the newest 500": (STEPS - 500, None),
    }
    rows, opens = [], 0.0
    for name, (first, last) in asked.items():
        query = MetricsQuery((), first, last, WIDE)
        request = QueryMetricsRequest(
            session_id=session_id, first_step=first, last_step=last, max_points=WIDE
        )
        over_the_wire = await timed(lambda request=request: stub.QueryMetrics(request))
        inside = await timed(lambda query=query: store.metrics(session_id, query))
        opens = opens or statistics.median(over_the_wire)
        rows.append((name, told(inside), told(over_the_wire)))
    request = QueryMetricsRequest(session_id=session_id, max_points=WIDE)
    check_answer(await stub.QueryMetrics(request))
    return rows, opens


def check_answer(answer: QueryMetricsResponse) -> None:
    """Assert that every spike and every row is in the picture of the whole run."""
    assert {each.name for each in answer.series} == set(NAMES)
    for series in answer.series:
        assert len(series.steps) <= WIDE
        assert sum(series.counts) == STEPS, (series.name, sum(series.counts))
    (loss,) = (each for each in answer.series if each.name == "loss")
    hidden = set(spikes().values()) - set(loss.maximums)
    assert not hidden, f"spikes that cannot be seen: {sorted(hidden)}"


async def one_long_run(folder: Path) -> tuple[str, ...]:
    """Write it, open it, and return what is to be published."""
    store = SqlStore(folder, 64 * MEBIBYTE, 64 * MEBIBYTE)
    async with MonitorServer(Settings.from_environment(), store=store) as server:
        with closing(Channel("127.0.0.1", server.port)) as channel:
            answer = await TelemetryServiceStub(channel).RegisterTrainingSession(
                RegisterTrainingSessionRequest(run_key="long", producer_id="p")
            )
            rate, memory = await long_run(store, answer.session_id)
            rows, opens = await questions(store, DashboardServiceStub(channel), answer.session_id)
    size = size_of(folder) / MEBIBYTE
    disk = (
        f"Written and compacted at {rate:,.0f} rows a second; {size:.0f} MiB on disk, "
        f"{size / (STEPS * len(NAMES) / 1e6):.1f} MiB per million points (24 MB bare); memory of "
        f"the process along the way: {', '.join(f'{each:.0f}' for each in memory)} MiB."
    )
    met = "met" if opens < OPENS_MS else f"missed by {opens - OPENS_MS:.0f} ms"
    return (
        table((f"{STEPS:,} steps x 5 series, ms (first, worst)", "in process", "gRPC"), rows),
        table(
            ("", "measured", "budget", ""),
            [(f"opens, all {SPIKES} planted spikes visible, ms", f"{opens:.0f}", OPENS_MS, met)],
        ),
        disk,
    )


def size_of(folder: Path) -> int:
    """Return the bytes of everything below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def main() -> None:
    """Measure, and publish."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [("bare SQLite, one transaction each", f"{bare(folder):,.0f}", "")]
        for trainings in TRAININGS:
            rates = [await ingest(folder / str(turn), trainings) for turn in range(3)]
            wire = [await ingest_over_the_wire(trainings) for _ in range(3)]
            medians = (f"{statistics.median(each):,.0f}" for each in (rates, wire))
            rows.append((f"{trainings} trainings", *medians))
            print("  ", *rows[-1], flush=True)
        published = await one_long_run(folder / "long")
    publish(
        "store",
        table(("records a second, 5 scalars each", "until committed", "until acknowledged"), rows),
        *published,
        f"{machine('trainmon', 'sqlalchemy', 'numpy')}, SQLite {sqlite3.sqlite_version}",
    )


if __name__ == "__main__":
    asyncio.run(main())
