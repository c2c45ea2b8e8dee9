"""Processes that are killed, started again and looked at."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["Process", "Run", "free_port", "listens"]


def free_port() -> int:
    """Return a port of this machine that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def listens(port: int) -> bool:
    """Return whether somebody takes connections on a port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Process:
    """One process that can be killed and started again.

    Args:
        command: What to run.
        environment: All of its variables.
        log: Where its output goes; appended to.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command, self._environment, self._log = command, environment, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its id."""
        if self._process is None:
            raise RuntimeError("it was never started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill it as nothing can be caught, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing where it is gone."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for its end; return its code, None where it still runs after the time."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self, timeout_s: float = 5.0) -> None:
        """Ask it to end, and kill it where it does not."""
        if self.alive:
            self.signal(signal.SIGTERM)
            if self.wait(timeout_s) is None:
                self.kill()


class Run:
    """One training, with the folder of its log.

    Args:
        folder: Its name is the run's.
        seed: Of the training.
        process: It, not started.
    """

    def __init__(self, folder: Path, seed: int, process: Process) -> None:
        self.folder, self.seed, self.process = folder, seed, process
        self.both_killed_s: float | None = None
        self.killed = False
        self.relay_kills = 0
        self.stopped_by = ""
        """The id of the command that ended it; empty: none did."""
        self._read = self._lines = 0

    @property
    def name(self) -> str:
        """The run's name, and its key."""
        return self.folder.name

    @property
    def ended(self) -> bool:
        """Whether it came to its end by itself."""
        return (self.folder / "end").exists()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to end."""
        return (self.folder / "stop").exists()

    @property
    def steps(self) -> int:
        """Steps in its log."""
        log = self.folder / "steps"
        if log.exists():
            with log.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            self._read += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def spooled(self, home: Path) -> bool:
        """Return whether a relay has put something of it on disk."""
        for run in (home / "spool").glob("*/run"):
            with suppress(OSError):  # delivered and removed meanwhile
                if self.name.encode() in run.read_bytes():
                    return any(each.stat().st_size for each in run.parent.glob("*.frames"))
        return False

    def relay(self) -> psutil.Process | None:
        """Return its living relay; None: it has none now."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if child.status() != psutil.STATUS_ZOMBIE and "trainmon.relay" in child.cmdline():
                    return child
        return None

    def kill_relay(self) -> bool:
        """Kill its relay; False: there was none."""
        relay = self.relay()
        if relay is None:
            return False
        with suppress(psutil.Error):  # it has just ended
            relay.kill()
        self.relay_kills += 1
        return True

    def kill(self) -> None:
        """Kill the training; its relay lives."""
        self.killed = True
        self.process.kill()

    def kill_both(self, *, relay_first: bool) -> None:
        """Kill the training and its relay, one right after the other."""
        relay = self.relay()
        pids = [self.process.pid] if relay is None else [self.process.pid, relay.pid]
        self.killed = True
        self.both_killed_s = time.time()
        for pid in reversed(pids) if relay_first else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def hurry(self, *, on: bool) -> None:
        """Let the training make steps as fast as it can, or no longer."""
        file = self.folder / "hurry"
        if on:
            file.touch()
        else:
            file.unlink()

    def stop(self) -> None:
        """Ask the training to end."""
        (self.folder / "stop").touch()


def limit_files(pid: int, size: int | None) -> None:
    """Let no file of a process grow beyond a size, as a full disk would; None: let all grow.

    Raises:
        ProcessLookupError: It is gone.
    """
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
