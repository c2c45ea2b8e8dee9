"""SQLite: where the files are, how they are opened, and what is refused. All that only it needs.

One connection writes and checkpoints; the readers' are read-only, so they never do (before 3.51.3
SQLite may lose what is written where several connections checkpoint).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from trainmon.errors import ConfigurationError, TrainmonError
from trainmon.monitor.lock import HomeLock
from trainmon.monitor.store.base import StoreWriteError
from trainmon.monitor.store.durable.damage import is_damage
from trainmon.monitor.store.durable.migrations import NEWEST, NewerSchemaError, migrate
from trainmon.monitor.store.durable.mounts import network_file_system

__all__ = ["CHECKS_TABLES", "DATABASE", "DamagedDatabaseError", "SqliteFiles", "free_some"]

#: Name of the database in its folder.
DATABASE = "history.db"
#: Marks a database as ours: "tmon".
APPLICATION_ID = 0x746D6F6E
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
#: Up to this size a database is read through at the start; a greater one would take seconds, and
#: only what every start reads is, where SQLite can check a table alone (from 3.33 on).
_CHECKED_BYTES = 64 << 20
_ALWAYS_CHECKED = ("meta", "sessions", "producers", "series")
CHECKS_TABLES = sqlite3.sqlite_version_info >= (3, 33)
_BUSY_S = 5.0
_PAGE_BYTES = 8192
_CACHE_KIB = 16 << 10
#: Given back at once; some 10 ms.
_FREED_PAGES = 256
#: The log is cut back to this size after a burst, in bytes.
_LOG_BYTES = 64 << 20


class DamagedDatabaseError(TrainmonError):
    """The database cannot be read as one of ours. Nothing in it was touched.

    Args:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            f"{path} cannot be used as the history ({' '.join(reason.split())}): it was left as it "
            "is. Move it away or bring it back from a copy, or set TRAINMON_STORE to another "
            "folder (sqlite:FOLDER), or to memory:"
        )


class SqliteFiles:
    """The database of one folder, checked and of the newest schema.

    Args:
        folder: Made if it is missing.

    Raises:
        ConfigurationError: The folder cannot be used: not writable, or on a network file system.
        HomeLockedError: Another monitor has it open.
        StoreWriteError: It cannot be written now.
        DamagedDatabaseError: The file is damaged, or none of ours.
        NewerSchemaError: A newer trainmon wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        _check_folder(folder)
        _check_file(self.path)
        self.is_large = self.path.exists() and self.path.stat().st_size > _CHECKED_BYTES
        """Whether it is too large to have been read through."""
        # A folder that TRAINMON_STORE names may be that of another TRAINMON_HOME too.
        self._lock = HomeLock(folder)
        self._lock.__enter__()
        self.writing = create_engine("sqlite://", creator=self._open_writing, poolclass=NullPool)
        _begin_with(self.writing, "BEGIN IMMEDIATE")
        self.reading = create_engine(
            "sqlite://", creator=self._open_reading, poolclass=QueuePool, pool_size=2
        )
        _begin_with(self.reading, "BEGIN")
        try:
            with self.writing.connect() as connection:
                migrate(connection, str(self.path), _mark)
        except DBAPIError as error:
            self.release()
            raise self.unusable(error) from None
        except BaseException:
            self.release()
            raise

    def unusable(self, error: DBAPIError) -> TrainmonError:
        """Return what is told where the database failed while it was being opened."""
        if is_damage(error):
            return DamagedDatabaseError(self.path, str(error.orig))
        return StoreWriteError(
            f"{self.path} cannot be opened as the history ({error.orig}): make room on its disk, "
            "see to it that it can be written and no other program holds it, or set "
            "TRAINMON_STORE to another folder (sqlite:FOLDER)"
        )

    def connect_reading(self) -> sqlite3.Connection:
        """Return another connection that only reads; whoever asks closes it."""
        return self._open_reading()

    def close(self) -> None:
        """Close the readers' connections. The writer closes its own, later."""
        self.reading.dispose()

    def release(self) -> None:
        """Let another monitor open it; call it last."""
        self._lock.__exit__(None, None, None)

    def _open_writing(self) -> sqlite3.Connection:
        connection = self._connect(f"{self.path.absolute().as_uri()}?mode=rwc")
        # Only before the first table is made: later it changes nothing.
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # What is committed survives the end of this process however it ends; not loss of power.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        return connection

    def _open_reading(self) -> sqlite3.Connection:
        connection = self._connect(f"{self.path.absolute().as_uri()}?mode=ro")
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return connection

    def _connect(self, uri: str) -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )


def free_some(connection: Connection) -> bool:
    """Give some room of deleted rows back to the file system; return whether there is more."""
    connection.exec_driver_sql(f"PRAGMA incremental_vacuum({_FREED_PAGES})").close()
    return bool(connection.exec_driver_sql("PRAGMA freelist_count").scalar())


def _begin_with(engine: Engine, statement: str) -> None:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)


def _mark(connection: Connection, version: int) -> None:
    """Write the version into the file's header too: it is read before anything is opened."""
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")


def _check_folder(folder: Path) -> None:
    kind = network_file_system(folder)
    if kind is not None:
        raise ConfigurationError(
            "TRAINMON_STORE",
            f"sqlite:{folder}",
            f"on a disk of this machine, but that folder is on a network file system ({kind}), "
            "where the database would break. Set TRAINMON_STORE to sqlite:FOLDER with a local "
            "folder, or TRAINMON_HOME to one; or TRAINMON_STORE to memory: to keep nothing",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        expected = f"a folder that you may write in ({error.strerror or error})"
        raise ConfigurationError("TRAINMON_STORE", f"sqlite:{folder}", expected) from None


def _check_file(path: Path) -> None:
    """Refuse what is no database of ours, without writing a byte of it."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DamagedDatabaseError(path, error.strerror or str(error)) from None
    if not header:
        return  # killed before the first page was written
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise DamagedDatabaseError(path, "it is no SQLite database")
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        _check_open(path)  # what the header says may be older than what the log says
        return
    version = int.from_bytes(header[60:64], "big")
    _check_marks(path, int.from_bytes(header[68:72], "big"), version)
    _check_size(path, header)
    _check_open(path)


def _check_marks(path: Path, application: int, version: int) -> None:
    if application not in {0, APPLICATION_ID} or (application == 0 and version):
        raise DamagedDatabaseError(path, "another program made it")
    if version > NEWEST:
        raise NewerSchemaError(str(path), version)


def _check_size(path: Path, header: bytes) -> None:
    page = int.from_bytes(header[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    size = path.stat().st_size
    # The count of pages is to be believed only where these two agree (SQLite's file format, 1.3.7).
    if header[24:28] == header[92:96] and size < expected:
        raise DamagedDatabaseError(path, f"it has {size} bytes, but should have {expected}")


def _check_open(path: Path) -> None:
    # Without a log nobody else writes: then not even the files beside the database are made.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            application = _one(connection.execute, "PRAGMA application_id")
            _check_marks(
                path, int(application), int(_one(connection.execute, "PRAGMA user_version"))
            )
            for check in _checks(connection, path.stat().st_size):
                verdict = _one(connection.execute, check)
                if verdict != "ok":
                    raise DamagedDatabaseError(path, str(verdict))
    except sqlite3.Error as error:
        raise DamagedDatabaseError(path, str(error)) from None


def _checks(connection: sqlite3.Connection, size: int) -> list[str]:
    """Return the statements that check as much of a database as a start can wait for."""
    if size <= _CHECKED_BYTES:
        return ["PRAGMA quick_check(1)"]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    chosen = tables.intersection(_ALWAYS_CHECKED) if CHECKS_TABLES else ()
    return [f"PRAGMA quick_check({name})" for name in sorted(chosen)]


def _one(execute: Callable[[str], sqlite3.Cursor], statement: str) -> Any:
    row = execute(statement).fetchone()
    return row[0] if row else 0
