"""One monitor for each TRAINMON_HOME: whoever holds the lock serves it."""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from trainmon.errors import ConfigurationError, HomeLockedError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["HomeLock", "LockHolder", "read_holder"]

#: Name of the lock file in TRAINMON_HOME.
LOCK_NAME = "monitor.lock"
_HOLDER = re.compile(r"pid (\d+)(?:, (\S+))?")


@dataclass(frozen=True)
class LockHolder:
    """Who serves a TRAINMON_HOME, as it wrote itself down."""

    pid: int
    """Its process id."""
    address: str
    """Where it listens, host:port; empty while it starts."""


class HomeLock:
    """The lock, held while the ``with`` lasts. The system frees it however the process ends.

    Args:
        home: The data directory; made if it is missing.

    Raises:
        HomeLockedError: On entering, where another monitor holds it.
        ConfigurationError: On entering, where no file can be written or locked there.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / LOCK_NAME
        self._home = home
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            holder = read_holder(self._home)
            raise HomeLockedError(str(self._home), _told(holder)) from None
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from None
        self._descriptor = descriptor
        self._write(f"pid {os.getpid()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            self._write("")
            os.close(self._descriptor)
            self._descriptor = None

    def _unusable(self, error: OSError) -> ConfigurationError:
        expected = f"a folder that you may write and lock files in ({error.strerror or error})"
        return ConfigurationError("TRAINMON_HOME", str(self._home), expected)

    def announce(self, address: str) -> None:
        """Write down where this monitor listens."""
        self._write(f"pid {os.getpid()}, {address}")

    def _write(self, text: str) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{text}\n".encode(), 0)


def read_holder(home: Path) -> LockHolder | None:
    """Return who wrote itself into a home's lock file last; None where nobody did.

    It may be gone: only taking the lock tells.
    """
    try:
        text = (home / LOCK_NAME).read_text(encoding="utf-8")
    except OSError:
        return None
    match = _HOLDER.match(text)
    return LockHolder(int(match[1]), match[2] or "") if match else None


def _told(holder: LockHolder | None) -> str:
    if holder is None:
        return "which has not said its name yet"
    return f"pid {holder.pid}, {holder.address or 'still starting'}"
