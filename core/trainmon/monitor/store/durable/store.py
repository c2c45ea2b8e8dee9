"""The durable store: history in a database, pictures in files beside it.

One thread writes and one reads, each with a connection of its own, so that neither a long question
nor a long write holds up the event loop or the other.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import DBAPIError

from trainmon.monitor.store.base import (
    Appended,
    EventsPage,
    ListedSession,
    MetricsQuery,
    Record,
    SessionRecord,
    Store,
    StoredSession,
    StoreReadError,
    StoreWriteError,
)
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.checking import BackgroundCheck
from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.finding import find_session
from trainmon.monitor.store.durable.ledger import HistoryLedger
from trainmon.monitor.store.durable.loading import list_sessions, load_session, read_events
from trainmon.monitor.store.durable.pictures import Pictures
from trainmon.monitor.store.durable.reading import read_metrics
from trainmon.monitor.store.durable.segments import Segments
from trainmon.monitor.store.durable.sqlite import SqliteFiles, free_some
from trainmon.monitor.store.durable.viewing import PictureReader
from trainmon.monitor.store.durable.writer import Writer
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.telemetry_pb2 import BatchData, ErrorResponse, MetricSeries

__all__ = ["SqlStore"]

_Result = TypeVar("_Result")

_IDENTITY, _GENERATION, _PROBE = "identity", "generation", "probe"
#: A row of a series costs about so many bytes while it waits to be written.
_ROW_BYTES = 48
_PROBE_CHARACTERS = 64 << 10


class SqlStore(Store):
    """History in a folder. Belongs to one event loop; close it.

    Args:
        folder: Made if it is missing.
        run_pictures_bytes: What the pictures of one run may take.
        pictures_bytes: What the pictures of all runs may take.

    Raises:
        ConfigurationError: The folder cannot be used.
        HomeLockedError: Another monitor has it open.
        StoreWriteError: It cannot be written now.
        DamagedDatabaseError: What is there cannot be read.
        NewerSchemaError: A newer trainmon wrote it.
    """

    durable = True

    def __init__(self, folder: Path, run_pictures_bytes: int, pictures_bytes: int) -> None:
        self._files = SqliteFiles(folder)
        self._identity, self.generation = self._count_opening()
        self._damage = Damage(str(self._files.path))
        segments = Segments(folder / "pictures")
        pictures = Pictures(segments, run_pictures_bytes, pictures_bytes)
        ledger = HistoryLedger(pictures, free_some, self._damage)
        ledger.chores.extend((ledger.purge(), ledger.sweep()))
        self._writer = Writer(self._files.writing, ledger, self._damage)
        self._readers = ThreadPoolExecutor(1, "trainmon store reader")
        self._pictures = PictureReader(segments)
        self._check = None
        if self._files.is_large:
            self._check = BackgroundCheck(self._files.connect_reading, self._damage)

    def _count_opening(self) -> tuple[str, int]:
        try:
            with self._files.writing.connect() as connection, connection.begin():
                return _opened(connection)
        except BaseException as error:
            self._files.release()
            if isinstance(error, DBAPIError):
                raise self._files.unusable(error) from None
            raise

    @property
    def identity(self) -> str:
        """The same for as long as the database is."""
        return self._identity

    # What is written.

    async def append(self, session_id: str, record: Record) -> Appended:
        """Keep a record; see :class:`Store`."""
        return await self._write(lambda ledger: ledger.append(session_id, record), _cost(record))

    async def put_session(self, record: SessionRecord) -> None:
        """Keep what is known of a session; see :class:`Store`."""
        cost = record.snapshot.ByteSize() + 1024
        if record.registration is not None:
            cost += record.registration.ByteSize()
        await self._write(lambda ledger: ledger.put_session(record), cost)

    async def put_command(self, record: CommandRecord) -> None:
        """Keep the state of a command; see :class:`Store`."""
        kept = CommandRecord()
        kept.CopyFrom(record)  # it goes on changing
        await self._write(lambda ledger: ledger.put_command(kept), record.ByteSize() + 256)

    async def put_error(self, session_id: str, error: ErrorResponse) -> None:
        """Keep an error; see :class:`Store`."""
        await self._write(
            lambda ledger: ledger.put_error(session_id, error), error.ByteSize() + 256
        )

    async def forget(self, session_id: str) -> None:
        """Drop a session; see :class:`Store`. Its rows and files go in the background."""
        await self._write(lambda ledger: ledger.forget(session_id))

    async def try_write(self) -> bool:
        """Return whether writing works; see :class:`Store`."""
        try:
            await self._write(lambda ledger: _probe(ledger.connection))
        except StoreWriteError:
            return False
        return True

    async def _write(self, job: Callable[[HistoryLedger], _Result], cost: int = 256) -> _Result:
        return await self._writer.do(job, cost)

    async def settle(self) -> None:
        """Return when nothing is left to be done in the background, such as compaction."""
        while await self._write(lambda ledger: bool(ledger.chores)):
            pass  # each of these lets the background do a step

    # What is read.

    async def stored_sequence(self, session_id: str, producer_id: str) -> int | None:
        """Return a producer's highest number; see :class:`Store`."""
        await self._catch_up()
        return await self._read(lambda each: _stored_sequence(each, session_id, producer_id))

    async def metrics(self, session_id: str, query: MetricsQuery) -> list[MetricSeries]:
        """Return scalars; see :class:`Store`."""

        def read(connection: Connection) -> list[MetricSeries]:
            session = find_session(connection, session_id)
            if session is None:
                return []
            return read_metrics(connection, session, query, self._damage)

        return await self._read(read)

    async def key_frame(self, session_id: str, step: int) -> BatchData | None:
        """Return the nearest picture; see :class:`Store`."""
        while True:
            found = await self._read(lambda each: self._pictures.nearest(each, session_id, step))
            if found is None or isinstance(found, BatchData):
                return found
            damaged = found  # moved meanwhile, or broken: then it goes, and the next best is shown
            try:
                await self._write(partial(HistoryLedger.drop_damaged, picture=damaged))
            except StoreWriteError as error:
                raise StoreReadError(f"the nearest picture is damaged; {error.reason}") from None

    async def sessions(self) -> Sequence[ListedSession]:
        """Return every session; see :class:`Store`."""
        return await self._read(partial(list_sessions, damage=self._damage))

    async def load(self, session_id: str) -> StoredSession | None:
        """Return a session; see :class:`Store`."""
        await self._catch_up()
        return await self._read(
            lambda each: load_session(each, session_id, self._pictures, self._damage)
        )

    async def events(self, session_id: str, kind: str, after: int) -> EventsPage | None:
        """Return a page of what happened; see :class:`Store`."""

        def read(connection: Connection) -> EventsPage:
            session = find_session(connection, session_id)
            if session is None:
                return EventsPage(())
            return read_events(connection, session, kind, after, self._damage)

        await self._catch_up()
        return await self._read(read)

    async def _catch_up(self) -> None:
        """Let what was given before be committed, if that is possible."""
        with suppress(StoreWriteError):
            await self._write(lambda _: None)

    async def _read(self, question: Callable[[Connection], _Result]) -> _Result:
        def answer() -> _Result:
            try:
                with self._files.reading.connect() as connection, connection.begin():
                    return question(connection)
            except DBAPIError as error:
                raise self._damage.cannot_read(error) from error

        return await asyncio.get_running_loop().run_in_executor(self._readers, answer)

    # The end.

    async def close(self) -> None:
        """Answer and write what waits, then release everything."""
        loop = asyncio.get_running_loop()
        if self._check is not None:
            await loop.run_in_executor(None, self._check.stop)
        await loop.run_in_executor(None, self._readers.shutdown)
        # The readers' connections first: the last one that is closed cleans up, and must write.
        self._files.close()
        await self._writer.close()
        self._files.release()


def _cost(record: Record) -> int:
    rows = sum(len(each.steps) for each in record.series)
    frame = record.key_frame.ByteSize() if record.key_frame is not None else 0
    return 512 + rows * _ROW_BYTES + frame


def _opened(connection: Connection) -> tuple[str, int]:
    """Count an opening; return the store's identity and how often it was opened."""
    known = {row.key: row.value for row in connection.execute(select(schema.meta))}
    identity = known.get(_IDENTITY) or secrets.token_hex(6)
    generation = int(known.get(_GENERATION) or 0) + 1
    _put_meta(connection, _IDENTITY, identity)
    _put_meta(connection, _GENERATION, str(generation))
    return identity, generation


def _put_meta(connection: Connection, key: str, value: str) -> None:
    connection.execute(delete(schema.meta).where(schema.meta.c.key == key))
    connection.execute(insert(schema.meta).values(key=key, value=value))


def _probe(connection: Connection) -> None:
    """Write about as much as a record: a disk may have room for a byte and no more."""
    _put_meta(connection, _PROBE, "." * _PROBE_CHARACTERS)
    _put_meta(connection, _PROBE, "")


def _stored_sequence(connection: Connection, session_id: str, producer_id: str) -> int | None:
    table = schema.producers
    session = find_session(connection, session_id)
    found = connection.scalar(
        select(table.c.stored).where(table.c.session == session, table.c.producer_id == producer_id)
    )
    return None if found is None else int(found)
