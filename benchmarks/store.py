"""The durable store: how fast records are safe, how fast a long run opens, and what it takes.

Ingest: records of five series with one step each, as many at a time as there are trainings, until
each is committed. Beside it in the same run the limit: the same bytes inserted into a bare SQLite
database of the same settings, one transaction each. Then one long run of five series, opened whole
and zoomed into; its size per million points; and the memory of this process while it was written.
``STEPS`` (environment) sets its length, 10 million by default.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
from common.report import machine, table

from trainmon.monitor.store.base import MetricsQuery, Record
from trainmon.monitor.store.columns import Rows
from trainmon.monitor.store.durable.codec import encode_rows
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.telemetry_pb2 import MetricData, MetricSeries

NAMES = ("loss", "accuracy", "learning_rate", "grad_norm", "throughput")
STEPS = int(os.environ.get("STEPS", "10000000"))
ROWS = 5000
RECORDS = 4000
ROUNDS = 5
MEBIBYTE = 1 << 20
WIDE = 2000


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


def part_of_a_run(random: np.random.Generator, start: int, count: int) -> list[MetricSeries]:
    """Return rows as trainings have them: noise around a falling curve, times of a clock."""
    steps = np.arange(start, start + count, dtype=float)
    times = 1.7e12 + steps * 10 + random.integers(0, 3, count)
    series = []
    for index, name in enumerate(NAMES):
        values = (np.exp(-steps / 1e6) + random.normal(0, 0.05, count)).astype(np.float32)
        rows = Rows(steps, times, values.astype(float) * (index + 1))
        series.append(MetricSeries.FromString(encode_rows(name, 0, rows)))
    return series


async def long_run(store: SqlStore) -> tuple[float, list[float]]:
    """Write a long run; return rows a second, and memory in MiB along the way."""
    random = np.random.default_rng(0)
    process = psutil.Process()
    memory = []
    started = time.perf_counter()
    for number, start in enumerate(range(0, STEPS, ROWS)):
        series = part_of_a_run(random, start, min(ROWS, STEPS - start))
        await store.append("run", Record("p", number + 1, series=series))
        if number % max(STEPS // ROWS // 5, 1) == 0:
            memory.append(process.memory_info().rss / MEBIBYTE)
    await store.settle()
    return STEPS * len(NAMES) / (time.perf_counter() - started), memory


async def timed(ask: Callable[[], Awaitable[object]]) -> str:
    """Return the median time of a question, in ms, and the first and the worst."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - started) * 1e3)
    return f"{statistics.median(times):.0f} ({times[0]:.0f}, {max(times):.0f})"


async def questions(store: SqlStore) -> list[tuple[str, str]]:
    """Return what opening and zooming take."""
    middle = STEPS // 2
    asked = {
        "open all of it": MetricsQuery(max_points=WIDE),
        "a tenth, off the grain": MetricsQuery((), middle + 7, middle + STEPS // 10 + 7, WIDE),
        "100,000 steps": MetricsQuery((), middle + 7, middle + 100_007, WIDE),
        "5,000 steps": MetricsQuery((), middle + 7, middle + 5007, WIDE),
        "the newest 500": MetricsQuery((), STEPS - 500, None, WIDE),
    }
    return [
        (name, await timed(lambda query=query: store.metrics("run", query)))
        for name, query in asked.items()
    ]


def size_of(folder: Path) -> int:
    """Return the bytes of everything below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [("bare SQLite, one transaction each", f"{bare(folder):.0f}")]
        for trainings in (1, 10, 100):
            rates = [await ingest(folder / str(turn), trainings) for turn in range(3)]
            rows.append((f"{trainings} trainings", f"{statistics.median(rates):.0f}"))
        print(table(("records a second until committed, 5 scalars each", ""), rows), "\n")
        store = SqlStore(folder / "long", 64 * MEBIBYTE, 64 * MEBIBYTE)
        rate, memory = await long_run(store)
        print(table((f"{STEPS:,} steps x 5 series", "ms (first, worst)"), await questions(store)))
        await store.close()
        size = size_of(folder / "long") / MEBIBYTE
        print(f"\nwritten and compacted at {rate:,.0f} rows a second; {size:.0f} MiB on disk, ")
        print(f"{size / (STEPS * len(NAMES) / 1e6):.1f} MiB per million points (24 MB bare); ")
        print(f"memory of the process along the way: {', '.join(f'{m:.0f}' for m in memory)} MiB\n")
    print(machine("trainmon", "sqlalchemy", "numpy"), f"SQLite {sqlite3.sqlite_version}")


if __name__ == "__main__":
    asyncio.run(main())
