"""Reads a large database through in the background, as no start could wait for it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.sqlite import CHECKS_TABLES

__all__ = ["BackgroundCheck"]

#: How often a check that is to end is told so, in seconds: what comes between two statements is
#: not heard.
_AGAIN_S = 0.05
#: After so many steps of SQLite's own it is asked whether the check goes on.
_STEPS = 100_000

_log = logging.getLogger(__name__)


class BackgroundCheck:
    """Checks a database in a thread of its own, on a connection of its own; stop it.

    Args:
        connect: Opens the database for reading; called in the thread.
        damage: Hears what was found.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], damage: Damage) -> None:
        self._connect = connect
        self._damage = damage
        self._stopping = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="trainmon store check", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, wherever it is; return when its connection is closed. Blocks for a moment."""
        self._stopping.set()
        while self._thread.is_alive():
            connection = self._connection
            if connection is not None:
                with suppress(sqlite3.Error):  # closed meanwhile
                    connection.interrupt()
            self._thread.join(_AGAIN_S)

    def wait(self) -> None:
        """Return when it has come to its end."""
        self._thread.join()

    def _run(self) -> None:
        try:
            verdict = self._verdict()
        except sqlite3.Error as error:
            if self._stopping.is_set():
                return
            if type(error) is sqlite3.DatabaseError:
                self._damage.found(str(error))
            else:
                _log.warning("the history could not be checked for damage: %s", error)
        else:
            if verdict not in {"ok", None}:
                self._damage.found(str(verdict))

    def _verdict(self) -> object:
        connection = self._connect()
        try:
            connection.set_progress_handler(self._stopping.is_set, _STEPS)
            self._connection = connection
            for check in _checks(connection):
                if self._stopping.is_set():
                    return None
                # All of it is read: only then its transaction ends, before the next begins.
                rows = connection.execute(check).fetchall()
                if rows and rows[0][0] != "ok":
                    return rows[0][0]
            return None
        finally:
            self._connection = None
            connection.close()


def _checks(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the statements that check a database, a table and its indexes each.

    While one runs, the log cannot be begun anew and grows with what is written. That a page belongs
    to no table, or to two, is not seen so.
    """
    if not CHECKS_TABLES:
        yield "PRAGMA quick_check(1)"
        return
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for name in ("sqlite_master", *(name for (name,) in found)):
        quoted = name.replace("'", "''")
        yield f"PRAGMA quick_check('{quoted}')"
