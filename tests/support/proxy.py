"""A TCP proxy on loopback whose bytes can be held, delayed, spoiled and cut at any moment."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["Direction", "Proxy"]

_CHUNK = 16 << 10
_RESET = struct.pack("ii", 1, 0)


class Direction:
    """What happens to the bytes of one direction. Set its fields from any thread."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """Each chunk of at most 16 KiB is held for so long."""
        self.bytes_per_s = 0.0
        """Most that passes; 0: no limit."""
        self.spoil: Callable[[bytes], bytes] | None = None
        """Makes something else of the next chunk, once."""
        self.passed = 0
        """Bytes passed on so far."""
        self.open = asyncio.Event()


class Proxy:
    """Passes connections on to a port of this machine; runs in a thread of its own.

    Args:
        target: That port.
        seed: Of the bytes that :meth:`corrupt` changes.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.up, self.down = Direction(), Direction()
        """Towards the target, and back."""
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._listener: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()
        self.port = 0
        self._do(self._listen())

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    # --- what can be done to it -------------------------------------------------------------------

    def stall(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._loop.call_soon_threadsafe(self._hold)

    def partition(self) -> None:
        """Pass nothing of the connections there are, and refuse others."""
        self.stall()
        self._do(self._refuse())

    def cut(self) -> None:
        """Reset every connection."""
        self._do(self._reset())

    def corrupt(self, direction: Direction, count: int = 1) -> None:
        """Change ``count`` bytes of the next chunk of a direction."""

        def spoil(data: bytes) -> bytes:
            changed = bytearray(data)
            for _ in range(count):
                changed[self._random.randrange(len(changed))] ^= self._random.randrange(1, 256)
            return bytes(changed)

        direction.spoil = spoil

    def heal(self) -> None:
        """Pass everything on again, at once."""
        for direction in (self.up, self.down):
            direction.delay_s = direction.bytes_per_s = 0.0
            direction.spoil = None
        self._do(self._listen())

    def close(self) -> None:
        """End it and every connection."""
        self._do(self._refuse())
        self._do(self._reset())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # --- inside its thread ------------------------------------------------------------------------

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._leave_nothing())
        self._loop.close()

    async def _leave_nothing(self) -> None:
        """End what was accepted in the last moment, too."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports are closed in the turn after

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _hold(self) -> None:
        self.up.open.clear()
        self.down.open.clear()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            # An asyncio.Server that is closed loses what it has accepted in that moment, until
            # Python 3.12: nobody closes the socket.
            self._loop.add_reader(self._listener, self._accept)
        self.up.open.set()
        self.down.open.set()

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _reset(self) -> None:
        for task, writers in tuple(self._connections.items()):
            for writer in writers:
                own: socket.socket = writer.get_extra_info("socket")
                with suppress(OSError):  # closed meanwhile
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        connection.setblocking(False)
        writers: list[asyncio.StreamWriter] = []
        task = self._loop.create_task(self._serve(connection, writers))
        self._connections[task] = writers

        def end(task: asyncio.Task[None]) -> None:
            # Here, as a task that is cancelled before its first turn has no "finally".
            del self._connections[task]
            for each in writers:
                each.transport.abort()
            connection.close()

        task.add_done_callback(end)

    async def _serve(self, own: socket.socket, writers: list[asyncio.StreamWriter]) -> None:
        with suppress(OSError, asyncio.CancelledError):  # there is no target, or it was cut
            await self._connect(own, writers)

    async def _connect(self, own: socket.socket, writers: list[asyncio.StreamWriter]) -> None:
        reader, writer = await asyncio.open_connection(sock=own, limit=_CHUNK)
        writers.append(writer)
        await self.up.open.wait()
        beyond, target = await asyncio.open_connection("127.0.0.1", self.target, limit=_CHUNK)
        writers.append(target)
        ways = [
            asyncio.ensure_future(_pass(reader, target, self.up)),
            asyncio.ensure_future(_pass(beyond, writer, self.down)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pass(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: Direction
) -> None:
    while data := await source.read(_CHUNK):
        if direction.delay_s:
            await asyncio.sleep(direction.delay_s)
        if direction.bytes_per_s:
            await asyncio.sleep(len(data) / direction.bytes_per_s)
        await direction.open.wait()
        if direction.spoil is not None:
            data, direction.spoil = direction.spoil(data), None
        direction.passed += len(data)
        target.write(data)
        await target.drain()
