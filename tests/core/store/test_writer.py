"""The writing thread: back-pressure, and ends nobody planned."""

from __future__ import annotations

import asyncio
import threading

import pytest

from trainmon.monitor.store.base import StoreWriteError
from trainmon.monitor.store.durable import writer


async def test_who_brings_more_than_may_wait_waits(open_history, monkeypatch):
    """What waits to be written is bounded; nothing is dropped, and the order is kept."""
    monkeypatch.setattr(writer, "WAITING_BYTES", 1000)
    store = open_history()
    go_on, order = threading.Event(), []
    first = asyncio.create_task(store._writer.do(lambda _: go_on.wait(30), 900))
    jobs = [
        asyncio.create_task(store._writer.do(lambda _, number=number: order.append(number), 300))
        for number in range(20)
    ]
    await asyncio.wait([first, *jobs], timeout=0)
    assert store._writer._waiting_bytes <= 1000
    assert len(store._writer._waiters) == 20
    go_on.set()
    await asyncio.gather(first, *jobs)
    assert order == list(range(20))
    assert store._writer._waiting_bytes == 0


async def test_a_caller_that_leaves_changes_nothing(open_history):
    """What was given is written, also when nobody waits for it any more."""
    store = open_history()
    go_on, done = threading.Event(), []
    first = asyncio.create_task(store._writer.do(lambda _: go_on.wait(30)))
    left = asyncio.create_task(store._writer.do(lambda _: done.append(1)))
    await asyncio.wait([first, left], timeout=0)
    left.cancel()
    go_on.set()
    await first
    await store._writer.do(lambda _: None)
    assert done == [1]
    assert store._writer._waiting_bytes == 0


async def test_nobody_waits_for_a_thread_that_is_gone(open_history, monkeypatch):
    """Should the thread fail, who waits and who comes is refused."""
    store = open_history()
    await store.settle()

    def broken(batch):
        raise LookupError("mine")

    monkeypatch.setattr(store._writer, "_write", lambda *_: broken(0))
    for _ in range(2):
        with pytest.raises(StoreWriteError, match=r"restart|closed"):
            await store._writer.do(lambda _: None)
