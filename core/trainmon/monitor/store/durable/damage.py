"""What was found damaged in a history: told apart from a full disk, counted, and said once.

Damage of the database itself ends all writing to it. A row that cannot be read costs only itself.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import DatabaseError, DBAPIError

from trainmon.monitor.store.base import StoreReadError, StoreWriteError

__all__ = ["Damage", "DamagedHistoryError", "is_damage"]

#: Rows that are known by name, so that each is said once; beyond them they are only counted.
_MAX_SAID = 1000

_log = logging.getLogger(__name__)


class DamagedHistoryError(StoreWriteError):
    """The database is damaged: nothing more is written to it.

    Args:
        where: Its file.
        reason: What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        super().__init__(
            f"{where} is damaged ({reason}), so nothing more is written to it: stop the monitor, "
            "move the folder it is in away or bring it back from a copy, and start the monitor "
            "again; trainings keep what they measure meanwhile"
        )


class Damage:
    """What is known to be damaged in one history. Any thread may come.

    Args:
        where: The file of the database, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._reason = ""
        self.rows = 0
        """How many rows could not be read, each counted once while they are few."""

    @property
    def ends_writing(self) -> bool:
        """Whether the database itself is damaged."""
        return bool(self._reason)

    def error(self) -> DamagedHistoryError:
        """Return what whoever wants to write is told."""
        return DamagedHistoryError(self._where, self._reason)

    def found(self, reason: str) -> None:
        """The database itself is damaged; the first finding counts."""
        with self._lock:
            if self._reason:
                return
            self._reason = " ".join(reason.split())  # SQLite reports on several lines
        _log.error("the history cannot be written: %s", self.error())

    def row(self, what: str, reason: Exception) -> None:
        """One row cannot be read and is left out."""
        with self._lock:
            if what in self._said:
                return
            self.rows += 1
            if len(self._said) < _MAX_SAID:
                self._said.add(what)
        _log.warning("%s: %s is damaged and was left out (%s)", self._where, what, reason)

    def cannot_read(self, error: DBAPIError) -> StoreReadError:
        """Return what is told of a question that failed; damage ends writing too."""
        if is_damage(error):
            self.found(str(error.orig))
            return StoreReadError(str(self.error()))
        return StoreReadError(
            f"{self._where} cannot be read ({error.orig}): see to it that the disk works and that "
            "no other program holds the file, then ask again"
        )


def is_damage(error: Exception) -> bool:
    """Return whether a database says that it is damaged, or none at all.

    Drivers say so by the bare class: what disks, locks and mistakes do has classes of its own.
    """
    return type(error) is DatabaseError
