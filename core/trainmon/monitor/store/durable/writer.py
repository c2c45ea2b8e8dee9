"""The one thread that writes: what waits goes into one transaction, then whoever gave it is told.

Between transactions, work in the background gets its turn, a slice at a time: each is a generator
that is left at points where what it did may be committed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from trainmon.monitor.store.base import StoreWriteError
from trainmon.monitor.store.durable.damage import Damage, is_damage

__all__ = ["Chore", "Ledger", "Writer"]

_Result = TypeVar("_Result")
#: Work in the background: each step ends where what was done may be committed.
Chore = Iterator[None]

#: What may wait to be written, in bytes; who brings more waits himself.
WAITING_BYTES = 32 << 20
#: What goes into one transaction.
_BATCH_JOBS, _BATCH_BYTES = 2000, 8 << 20
#: How long the background rests after a write failed, in seconds.
_REST_S = 2.0

#: What the database says of mistakes of ours: no disk is at fault.
_OURS = (IntegrityError, ProgrammingError, DataError)

_log = logging.getLogger(__name__)


class Ledger(Protocol):
    """What the writing thread works on; nothing else touches it."""

    chores: deque[Chore]

    def begin(self, connection: Connection) -> None:
        """A transaction began."""

    def flush(self) -> None:
        """Write what was only noted; the transaction ends."""

    def rolled_back(self) -> None:
        """Nothing of the transaction happened: forget what was noted of it."""


@dataclass
class _Job:
    do: Callable[[Any], Any]
    cost: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]
    outcome: Any = field(default=None)
    error: BaseException | None = field(default=None)


class Writer:
    """Runs jobs on a ledger, in the order they were given. Belongs to one event loop.

    Args:
        engine: Where the writing connection comes from.
        ledger: What the jobs work on.
        damage: What is known to be damaged: from then on every job is refused.
        name: Of the thread.
    """

    def __init__(
        self, engine: Engine, ledger: Ledger, damage: Damage, name: str = "trainmon store writer"
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._damage = damage
        self._jobs: deque[_Job] = deque()
        self._batch: list[_Job] = []
        self._change = threading.Condition()
        self._closing = False
        self._waiting_bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._rest_until = 0.0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def do(self, job: Callable[[Any], _Result], cost: int = 256) -> _Result:
        """Run a job in a transaction; return its result once that is committed.

        Args:
            job: Called with the ledger, in the writing thread; again where a transaction of
                several jobs failed, so it must change nothing but the ledger.
            cost: What it holds in memory while it waits, in bytes.

        Raises:
            StoreWriteError: It was not committed.
        """
        loop = asyncio.get_running_loop()
        while self._waiting_bytes and self._waiting_bytes + cost > WAITING_BYTES:
            turn: asyncio.Future[None] = loop.create_future()
            self._waiters.append(turn)
            await turn
        self._waiting_bytes += cost
        made = _Job(job, cost, loop, loop.create_future())
        with self._change:
            if self._closing:
                self._waiting_bytes -= cost
                raise StoreWriteError("the store is closed: the monitor is shutting down")
            self._jobs.append(made)
            self._change.notify()
        # A caller that is cancelled leaves; what it gave is written all the same.
        return cast("_Result", await made.done)

    async def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._change:
            self._closing = True
            self._change.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # In the writing thread.

    def _run(self) -> None:
        try:
            with self._engine.connect() as connection:
                self._work(connection)
        except Exception:  # noqa: BLE001 - the thread's door: whoever waits must not wait for ever
            _log.exception("the thread that writes the history failed")
            self._give_up()

    def _work(self, connection: Connection) -> None:
        while True:
            self._batch = self._next_batch()
            if self._batch:
                self._write(connection, self._batch)
                _tell(self._batch, self._told)
                self._batch = []
            elif self._closing:
                return
            self._do_chore(connection)

    def _give_up(self) -> None:
        """Refuse what waits and whatever comes."""
        with self._change:
            self._closing = True
            left = [*self._batch, *self._jobs]
            self._jobs.clear()
        for job in left:
            job.error = StoreWriteError("the thread that writes it failed: restart the monitor")
        if left:
            _tell(left, self._told)

    def _next_batch(self) -> list[_Job]:
        with self._change:
            while not (self._jobs or self._closing or self._is_chore_due()):
                rest = self._rest_until - time.monotonic() if self._ledger.chores else None
                self._change.wait(rest)
            batch: list[_Job] = []
            size = 0
            while self._jobs and len(batch) < _BATCH_JOBS and size < _BATCH_BYTES:
                job = self._jobs.popleft()
                size += job.cost
                batch.append(job)
            return batch

    def _is_chore_due(self) -> bool:
        return bool(self._ledger.chores) and time.monotonic() >= self._rest_until

    def _write(self, connection: Connection, batch: list[_Job]) -> None:
        if self._attempt(connection, batch) is None or len(batch) == 1:
            return
        for job in batch:  # one of them is at fault: the others must not fail for it
            self._attempt(connection, [job])

    def _attempt(self, connection: Connection, batch: list[_Job]) -> BaseException | None:
        if not self._damage.ends_writing:
            return self._transaction(connection, batch)
        told = self._damage.error()
        for job in batch:
            job.error = told
        return told

    def _transaction(self, connection: Connection, batch: list[_Job]) -> BaseException | None:
        try:
            with connection.begin():
                self._ledger.begin(connection)
                for job in batch:
                    job.outcome = job.do(self._ledger)
                self._ledger.flush()
        except Exception as error:  # noqa: BLE001 - told to whoever gave the job, and logged
            self._ledger.rolled_back()
            told = self._blame(error)
            for job in batch:
                job.error = told
            if len(batch) == 1:
                self._failed(told)
            return told
        for job in batch:
            job.error = None
        if self._failing:
            self._failing = False
            _log.warning("the history can be written again")
        return None

    def _failed(self, error: BaseException) -> None:
        self._rest_until = time.monotonic() + _REST_S
        if not isinstance(error, StoreWriteError):
            _log.error("the store failed", exc_info=error)
        elif not self._failing and not self._damage.ends_writing:  # damage was said by its finder
            self._failing = True
            _log.error("the history cannot be written: %s", error)

    def _do_chore(self, connection: Connection) -> None:
        """Give the background one turn."""
        if self._damage.ends_writing:
            self._ledger.chores.clear()
        if not self._is_chore_due():
            return
        chore = self._ledger.chores[0]
        over = False
        try:
            with connection.begin():
                self._ledger.begin(connection)
                over = next(chore, self) is self
                self._ledger.flush()
        except Exception as error:  # noqa: BLE001 - the background's door: logged, begun anew later
            self._ledger.rolled_back()
            over = True
            self._failed(self._blame(error))
        if over:
            self._ledger.chores.popleft()

    def _blame(self, error: Exception) -> Exception:
        """Return what is told of a failure: damage and trouble with the disk by their own names."""
        if not is_damage(error):
            return _told(error)
        self._damage.found(str(cast("DBAPIError", error).orig))
        return self._damage.error()

    # In the event loop.

    def _told(self, batch: list[_Job]) -> None:
        for job in batch:
            self._waiting_bytes -= job.cost
            if job.done.done():
                continue
            if job.error is not None:
                job.done.set_exception(job.error)
            else:
                job.done.set_result(job.outcome)
        waiters, self._waiters = self._waiters, deque()
        for turn in waiters:
            if not turn.done():
                turn.set_result(None)


def _tell(batch: list[_Job], told: Callable[[list[_Job]], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        batch[0].loop.call_soon_threadsafe(told, batch)


def _told(error: Exception) -> Exception:
    """Return what is told of a failure that is no damage."""
    if isinstance(error, DBAPIError) and not isinstance(error, _OURS):
        return StoreWriteError(
            f"{error.orig}: make room on the disk that holds the history, or see to it that it "
            "can be written"
        )
    if isinstance(error, OSError):
        return StoreWriteError(
            f"{error.strerror or error}: make room on the disk that holds the history, or see to "
            "it that it can be written"
        )
    return error
