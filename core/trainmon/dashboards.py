"""Where dashboards listen: each gateway writes itself down in TRAINMON_HOME while it serves.

So whoever starts a training can be told the address of its page. One file per gateway, locked while
that gateway lives, so that one that was killed is told from one that serves.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Dashboard", "announce", "dashboards"]

_FOLDER = "dashboards"
_LINE = re.compile(r"pid (?P<pid>\d+), (?P<address>\S+), monitor (?P<monitor>\S+)\n")


@dataclass(frozen=True)
class Dashboard:
    """A gateway that serves."""

    pid: int
    """Its process id."""
    address: str
    """What a browser opens, such as ``http://127.0.0.1:8080``."""
    monitor: str
    """Whose sessions it shows, host:port."""


@contextmanager
def announce(home: Path, address: str, monitor: str) -> Iterator[None]:
    """Write a dashboard down while the ``with`` lasts.

    Args:
        home: The data directory; made if it is missing. Where nothing can be written there the
            dashboard is not found by others, and serves all the same.
        address: What a browser opens.
        monitor: Whose sessions it shows, host:port.
    """
    path = home / _FOLDER / str(os.getpid())
    descriptor = _write(path, f"pid {os.getpid()}, {address}, monitor {monitor}\n")
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _write(path: Path, line: str) -> int | None:
    """Return the descriptor that holds the lock of a file that was written; None: it cannot be."""
    under_way = path.with_name(f".{path.name}")  # locked before anyone can see it
    descriptor: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(under_way, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, line.encode())
        under_way.rename(path)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def dashboards(home: Path) -> list[Dashboard]:
    """Return every dashboard of a home that serves, the oldest first; never raises.

    What one that was killed left behind is removed.
    """
    found = []
    with suppress(OSError):
        paths = sorted((home / _FOLDER).glob("[0-9]*"), key=lambda path: path.stat().st_mtime)
        for path in paths:
            with suppress(OSError), path.open("rb") as file:
                if _is_free(file.fileno()):
                    path.unlink(missing_ok=True)
                    continue
                match = _LINE.fullmatch(file.read(4096).decode("utf-8", "replace"))
                if match:
                    found.append(Dashboard(int(match["pid"]), match["address"], match["monitor"]))
    return found


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
