"""The outgoing half of an endless stream: what waits to be sent, and how the stream ends.

Whoever has something to say puts it in and returns at once; one task per stream sends. So a peer
that reads slowly, or never, holds up nobody and holds bounded memory.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor.framing import PeerGoneError

__all__ = ["FLUSH_S", "Outlet"]

Send = Callable[[bytes], Awaitable[None]]

#: How long an ending stream may take to send what waits, in seconds.
FLUSH_S = 1.0


class Outlet(ABC):
    """One stream's outgoing half. Belongs to one event loop."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._status = Status.OK
        self._reason = ""

    @abstractmethod
    def take(self, now: float) -> bytes | None:
        """Return the next message to send, serialised; None where nothing may be sent now."""

    def next_due(self) -> float | None:
        """Return when something that waits may be sent, on the loop's clock; None: unknown."""
        return None

    def sent(self) -> None:  # noqa: B027 - most need not know
        """Take note that the last message taken was written to the stream."""

    @property
    def over(self) -> bool:
        """Whether the stream is ending."""
        return self._over.is_set()

    def wake(self) -> None:
        """Say that there may be something to take."""
        self._wake.set()

    def end(self, status: Status, reason: str = "") -> None:
        """End the stream with a status, after what waits. The first call counts."""
        if self.over:
            return
        self._status, self._reason = status, reason
        self._over.set()
        self._wake.set()

    async def run(self, send: Send) -> None:
        """Send until :meth:`end`.

        Raises:
            GRPCError: The status it was ended with, unless that is OK.
        """
        writer = asyncio.create_task(self._write(send), name=f"{type(self).__name__} writer")
        writer.add_done_callback(lambda _: self._over.set())
        try:
            await self._over.wait()
            await asyncio.wait({writer}, timeout=FLUSH_S)
        finally:
            writer.cancel()
            await asyncio.wait({writer})
        if not writer.cancelled():
            writer.result()
        if self._status is not Status.OK:
            raise GRPCError(self._status, self._reason)

    async def _write(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while (message := self.take(loop.time())) is not None:
                    await send(message)
                    self.sent()
                if self.over:
                    return
                await self._wait(loop)
        except PeerGoneError:
            return  # grpclib cancels the handler, or has done so already

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self.next_due()
        timer = loop.call_at(due, self._wake.set) if due is not None else None
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._wake.clear()
