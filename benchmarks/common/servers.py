"""A monitor or a gateway that is held to one core and asked what it spends."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from trainmon.cli.children import Child, trainmon_command

__all__ = ["Server", "hold_to", "own_core", "started"]


def hold_to(core: int) -> int:
    """Keep this process to one core from now on; return the first, which is the server's.

    On a machine with a single core both are the same.
    """
    if not hasattr(os, "sched_setaffinity"):
        return 0
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[min(core, len(available) - 1)]})
    return available[0]


def own_core() -> int:
    """Return the core that this process is kept to."""
    return min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


class Server:
    """A process of ours, held to one core if one is named.

    Args:
        child: It.
        core: Which core; None: it is free.
    """

    def __init__(self, child: Child, core: int | None) -> None:
        self._process = psutil.Process(child.pid)
        if core is not None and hasattr(os, "sched_setaffinity"):
            for thread in self._process.threads():
                os.sched_setaffinity(thread.id, {core})

    @property
    def cpu_s(self) -> float:
        """CPU time so far, in seconds."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @property
    def resident_bytes(self) -> int:
        """Memory."""
        return int(self._process.memory_info().rss)


@contextmanager
def started(prefix: str, core: int | None, *arguments: str) -> Iterator[tuple[str, Server]]:
    """Start a command of ours, with a folder of its own; give where it listens, and it.

    Args:
        prefix: Of the line on which it says where it listens: ``monitor`` or ``dashboard``.
        core: Which core it may use; None: every one.
        arguments: Of ``trainmon``.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TRAINMON_HOME": home}
        child = Child(prefix, trainmon_command(*arguments), environment)
        try:
            address = child.announced(prefix)
            child.pass_on(sys.stderr)
            yield address, Server(child, core)
        finally:
            child.end()
