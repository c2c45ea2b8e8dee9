"""Real processes for tests: monitor, gateway and training, each started, killed and restarted."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

from trainmon.cli.children import Child, trainmon_command

T = TypeVar("T")


def eventually(
    read: Callable[[], T],
    what: str,
    timeout_s: float = 30,
    until: Callable[[T], object] = bool,
    every_s: float = 0.02,
) -> T:
    """Return what ``read`` returns once ``until`` accepts it; fail with the last after the time.

    For conditions of other processes, which offer no event to wait on.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = read()
        if until(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}; last seen: {value!r}")
        time.sleep(every_s)


class Stack:
    """The processes of one test, with a data folder of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._children: list[Child] = []
        self.environment = {
            **os.environ,
            "TRAINMON_HOME": str(home),
            "TRAINMON_RELAY_LINGER": "3",
            # Several threads could add in another order, and then losses could not be compared.
            "OPENBLAS_NUM_THREADS": "1",
        }

    def start(self, name: str, command: list[str], **environment: str) -> Child:
        """Start a process that is ended with the test."""
        child = Child(name, command, {**self.environment, **environment})
        self._children.append(child)
        return child

    def monitor(self, port: int = 0) -> tuple[Child, str]:
        """Start a monitor and return it with its address."""
        child = self.start("monitor", trainmon_command("serve", "--port", str(port)))
        address = child.announced("monitor")
        child.pass_on(sys.stderr)
        return child, address

    def gateway(self, monitor: str, port: int = 0) -> tuple[Child, str]:
        """Start a gateway and return it with the dashboard's address."""
        arguments = ("gateway", "--port", str(port), "--monitor", monitor)
        child = self.start("gateway", trainmon_command(*arguments))
        address = child.announced("dashboard")
        child.pass_on(sys.stderr)
        return child, address

    def training(self, monitor: str, *options: str, **environment: str) -> Child:
        """Start the demo's training."""
        command = [sys.executable, "-m", "trainmon.demo", *options]
        child = self.start("training", command, TRAINMON_MONITOR=monitor, **environment)
        child.pass_on(sys.stderr)
        return child

    def close(self) -> None:
        """End everything, the newest first."""
        for child in reversed(self._children):
            child.end()


@contextmanager
def stack(home: Path) -> Iterator[Stack]:
    """Give a stack and end it."""
    processes = Stack(home)
    try:
        yield processes
    finally:
        processes.close()


def relay_of(training: Child) -> psutil.Process:
    """Return the living relay of a training, waiting for it."""

    def find() -> psutil.Process | None:
        for process in psutil.Process(training.pid).children():
            try:
                dead = process.status() == psutil.STATUS_ZOMBIE
                if not dead and "trainmon.relay" in process.cmdline():
                    return process
            except psutil.Error:
                continue
        return None

    found = eventually(find, "the training has a relay")
    if found is None:
        raise AssertionError("no relay")
    return found


def kill(pid: int) -> None:
    """Kill a process as nothing can be caught."""
    os.kill(pid, signal.SIGKILL)


def lines(path: Path) -> int:
    """Return how many lines a file has; 0 where there is none."""
    return path.read_bytes().count(b"\n") if path.exists() else 0
