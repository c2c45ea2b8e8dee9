"""Room for large answers: each is built in memory, so only so many are at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpclib.const import Status

from trainmon.monitor.refusal import RefusedError

__all__ = ["AnswerRoom"]


class AnswerRoom:
    """Lets so many answers of a size be in memory at once; more wait, and yet more are refused.

    Belongs to one event loop.

    Args:
        answer_bytes: Greatest answer, in bytes.
        total_bytes: Of all at once.
        most_waiting: Calls that may wait for room.
    """

    def __init__(self, answer_bytes: int, total_bytes: int, most_waiting: int) -> None:
        self.answer_bytes = answer_bytes
        self._free = asyncio.Semaphore(max(1, total_bytes // answer_bytes))
        self._most_waiting = most_waiting
        self._waiting = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold room for one answer, from before it is built until it is sent.

        Raises:
            RefusedError: UNAVAILABLE: too many wait already.
        """
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise RefusedError(
                Status.UNAVAILABLE,
                f"{self._waiting} calls wait for room to answer them, which is the limit: ask "
                "later, or for less at once",
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
