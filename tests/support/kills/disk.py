"""A data folder whose disk can be full, for its processes or, where it may be mounted, truly."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from kills.processes import Process, limit_files

__all__ = ["Disk"]

_SIZE = 64 << 20


class Disk:
    """A folder for TRAINMON_HOME.

    Args:
        home: Where; made.
        mount: Whether to mount a small file system there, which only root may.
    """

    def __init__(self, home: Path, *, mount: bool = False) -> None:
        self.home = home
        home.mkdir()
        self.mounted = mount and _mount(home)
        """Whether it is a file system of its own; else a limit on a process' files stands for it"""

    def fill(self, pid: int) -> None:
        """Leave no room, for a process at least."""
        if self.mounted:
            self._fill()
        else:
            with suppress(ProcessLookupError):
                limit_files(pid, 0)

    def _fill(self) -> None:
        with (self.home / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):  # ENOSPC is what is wanted
                    while True:
                        file.write(bytes(size))

    def drain(self, process: Process | None = None, pid: int = 0) -> None:
        """Make room again."""
        if self.mounted:
            (self.home / "filler").unlink(missing_ok=True)
            return
        if process is not None and process.alive:
            pid = process.pid
        with suppress(ProcessLookupError):
            if pid:
                limit_files(pid, None)

    def close(self) -> None:
        """Unmount it."""
        if self.mounted:
            # Lazily: a process that is just ending may still hold a file of it.
            subprocess.run(["umount", "--lazy", str(self.home)], check=False)


def _mount(folder: Path) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:  # there is no such command
        return False
