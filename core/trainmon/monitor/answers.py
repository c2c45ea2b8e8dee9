"""Room for large answers: each is built in memory, so only so many bytes are at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from grpclib.const import Status

from trainmon.monitor.refusal import RefusedError

__all__ = ["AnswerRoom"]

#: What a call takes beside the bytes of its answer.
_CALL_BYTES = 16 << 10


class AnswerRoom:
    """Lets answers up to a size be in memory together; more wait, and yet more are refused.

    One that is being built may become as large as any; once it is built it counts as what it is.
    Belongs to one event loop.

    Args:
        answer_bytes: Greatest answer, in bytes.
        total_bytes: Of all at once.
        most_waiting: Calls that may wait for room.
    """

    def __init__(self, answer_bytes: int, total_bytes: int, most_waiting: int) -> None:
        self.answer_bytes = answer_bytes
        self._free_bytes = max(answer_bytes, total_bytes)
        self._most_waiting = most_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[int], None]]:
        """Hold room for one answer, from before it is built until it is sent.

        Yields:
            Takes the bytes of the answer once it is built: the rest of the room is free then.

        Raises:
            RefusedError: UNAVAILABLE: too many wait already.
        """
        await self._take()
        held_bytes = self.answer_bytes

        def built(size: int) -> None:
            nonlocal held_bytes
            rest = max(0, held_bytes - size - _CALL_BYTES)
            held_bytes -= rest
            self._give(rest)

        try:
            yield built
        finally:
            self._give(held_bytes)

    async def _take(self) -> None:
        if self._free_bytes >= self.answer_bytes and not self._waiting:
            self._free_bytes -= self.answer_bytes
            return
        if len(self._waiting) >= self._most_waiting:
            raise RefusedError(
                Status.UNAVAILABLE,
                f"{len(self._waiting)} calls wait for room to answer them, which is the limit: ask "
                "later, or for less at once",
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            with suppress(ValueError):  # its turn has come, and was cancelled before it was known
                self._waiting.remove(turn)
            if not turn.cancelled():
                self._give(self.answer_bytes)
            raise

    def _give(self, size: int) -> None:
        self._free_bytes += size
        while self._waiting and self._free_bytes >= self.answer_bytes:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free_bytes -= self.answer_bytes
                turn.set_result(None)
