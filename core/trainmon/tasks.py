"""Tasks that belong to someone: none outlives its owner, none fails unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Tasks", "within"]

_Result = TypeVar("_Result")

#: A task that let a cancellation pass is cancelled again after this many seconds.
_AGAIN_S = 0.5


class Tasks:
    """Starts tasks and ends all that are left."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task; whoever starts it looks at how it ends."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def promise(self, work: Coroutine[Any, Any, _Result], name: str) -> asyncio.Task[_Result]:
        """Start a task that goes on where nobody waits for it any more; shield it to wait."""
        task = self.start(work, name)
        task.add_done_callback(_look_at)
        return task

    async def wait(self) -> None:
        """Return when all that was started so far has ended."""
        if self._running:
            await asyncio.wait(set(self._running))

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        while self._running:
            running = set(self._running)
            for task in running:
                task.cancel()
            # A library may turn a cancellation into another error, and the task go on with that.
            await asyncio.wait(running, timeout=_AGAIN_S)


async def within(seconds: float, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what work returns, within so many seconds.

    Unlike ``asyncio.wait_for`` before Python 3.12 it never swallows a cancellation that comes at
    the very moment the work ends.

    Raises:
        asyncio.TimeoutError: The time has passed; the work was cancelled.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        _look_at(task)


def _look_at(task: asyncio.Task[Any]) -> None:
    """See how it ended: whoever waits is told of it, or of the time, or has gone."""
    if not task.cancelled():
        task.exception()
