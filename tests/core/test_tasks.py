"""Tasks with an owner, and a limit of time that swallows no cancellation."""

from __future__ import annotations

import asyncio
import gc

import pytest

from trainmon.tasks import Tasks, within


async def test_a_task_that_lets_a_cancellation_pass_is_ended_all_the_same():
    """As where a library turns it into another error, after which the task goes on."""
    began, cancellations = asyncio.Event(), []

    async def stubborn() -> None:
        while len(cancellations) < 3:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations.append(1)

    tasks = Tasks()
    task = tasks.start(stubborn(), "stubborn")
    await began.wait()
    await tasks.close()
    assert task.done()
    assert len(cancellations) == 3


async def test_a_cancellation_at_the_moment_the_work_ends_is_not_swallowed():
    """Unlike with `asyncio.wait_for` before Python 3.12, which would return the result."""
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def working() -> int:
        return await work

    waiting = asyncio.create_task(within(60, working()))
    await asyncio.sleep(0)  # it waits now
    await asyncio.sleep(0)
    work.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_work_that_takes_too_long_is_cancelled_and_ended():
    """The time is told only once nothing of it runs any more; what it raises is seen."""
    ended = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(1)
            raise ConnectionError("turned into another error") from None

    with pytest.raises(asyncio.TimeoutError):
        await within(0, endless())
    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, endless())
    assert len(ended) == 2


async def test_a_failure_at_the_moment_of_a_cancellation_is_not_complained_of():
    """Whoever waited has gone; "exception was never retrieved" would tell users of it."""
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    begun, fail = asyncio.Event(), asyncio.Event()

    async def failing():
        begun.set()
        await fail.wait()
        raise ConnectionRefusedError

    waiting = asyncio.create_task(within(60, failing()))
    await begun.wait()
    fail.set()
    await asyncio.sleep(0)  # it fails now; who waits for it has not heard
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
