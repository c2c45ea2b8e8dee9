"""Stores of both kinds, closed at the end of the test, and what is put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from trainmon.monitor.store.base import SessionRecord
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.monitor.store.memory import MemoryStore
from trainmon.v1.dashboard_pb2 import SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import MetricSeries, RegisterTrainingSessionRequest

MEBIBYTE = 1 << 20


@pytest.fixture
async def open_history(tmp_path) -> AsyncIterator[Callable[..., SqlStore]]:
    """Return what opens the durable store of this test; again and again, if it was closed."""
    async with AsyncExitStack() as stack:

        def opened(
            folder: Path = tmp_path / "history",
            run_pictures: int = 64 * MEBIBYTE,
            pictures: int = 256 * MEBIBYTE,
        ) -> SqlStore:
            store = SqlStore(folder, run_pictures, pictures)
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, open_history):
    """Return a store of each kind."""
    return MemoryStore(64 * MEBIBYTE) if request.param == "memory" else open_history()


@pytest.fixture
def small_chunks(monkeypatch) -> None:
    """Let a few dozen rows make chunks and levels, as millions do."""
    monkeypatch.setattr("trainmon.monitor.store.durable.compaction.CHUNK_ROWS", 8)
    monkeypatch.setattr("trainmon.monitor.store.durable.compaction._OPEN_ROWS", 4)
    monkeypatch.setattr("trainmon.monitor.store.durable.compaction._ECHO", 4)
    monkeypatch.setattr("trainmon.monitor.store.durable.ledger.COMPACT_ROWS", 16)


@pytest.fixture
def rows_of() -> Callable[..., MetricSeries]:
    """Return what makes a series of consecutive steps."""

    def make(values, first=0, name="loss", attempt=0):
        steps = [float(first + index) for index in range(len(values))]
        return MetricSeries(name=name, attempt=attempt, steps=steps, times=steps, values=values)

    return make


@pytest.fixture
def session_record() -> Callable[..., SessionRecord]:
    """Return what makes the record of a session."""

    def make(session_id="s", ended_ms=None, started_ms=1, **fields):
        summary = SessionSummary(session_id=session_id, ended_ms=ended_ms, session_name="digits")
        return SessionRecord(
            session_id=session_id,
            run_key=fields.pop("run_key", f"run of {session_id}"),
            incarnation="1",
            started_ms=started_ms,
            ended_ms=ended_ms,
            snapshot=SessionSnapshot(summary=summary),
            registration=RegisterTrainingSessionRequest(session_name="digits"),
            **fields,
        )

    return make
