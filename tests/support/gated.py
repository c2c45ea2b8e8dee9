"""The real store behind a gate where everything written waits, on a disk that may be full."""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy.exc import OperationalError

from trainmon.monitor.store.durable.store import SqlStore, _stored_sequence

__all__ = ["Gate", "GatedStore"]


class Gate:
    """Where everything waits that is to be written, while it is shut.

    As with the real writer, what was given is written in its order, also when who gave it is gone.
    """

    def __init__(self):
        self.open = asyncio.Event()
        self.open.set()
        self.turn = asyncio.Lock()
        self.reached = asyncio.Event()
        self.waiting = set()
        self.given = set()

    async def give(self, write):
        """Return what ``write`` returns, called once it is open."""
        self.reached.set()
        task, given = asyncio.current_task(), asyncio.create_task(self._later(write))
        self.waiting.add(task)
        self.given.add(given)
        given.add_done_callback(self._done)
        try:
            return await asyncio.shield(given)
        finally:
            self.waiting.discard(task)
            del task  # the traceback of what was raised would keep it

    async def _later(self, write):
        async with self.turn:  # first come, first served, also where it has just been opened
            await self.open.wait()
        return await write()

    def _done(self, given):
        self.given.discard(given)
        if not given.cancelled():
            given.exception()  # perhaps nobody else asks

    def blocks(self, task):
        """Return whether a task can go on no further."""
        return not self.open.is_set() and task in self.waiting

    @property
    def is_working(self):
        """Whether something is being written."""
        return self.open.is_set() and bool(self.given)


class GatedStore(SqlStore):
    """The real store behind a gate, on a disk that may be full."""

    def __init__(self, folder, gate):
        super().__init__(folder, 1 << 20, 1 << 20)
        self.gate = gate
        self.full = False
        self.flush_ledger = self._writer._ledger.flush
        self._writer._ledger.flush = self.flush

    def flush(self):
        """Write what was noted, if there is room."""
        self.flush_ledger()
        if self.full:
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    async def committed(self, session_id, producer):
        """Return what is stored now, whatever waits at the gate."""
        return await self._read(lambda each: _stored_sequence(each, session_id, producer))

    async def _write(self, job, cost=256):
        return await self.gate.give(partial(super()._write, job, cost))
