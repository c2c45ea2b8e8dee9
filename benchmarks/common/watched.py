"""A monitor, and viewers of it, for the length of a measurement."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainmon.cli.children import Child, trainmon_command


@contextmanager
def monitor() -> Iterator[str]:
    """Start a monitor and give its address."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TRAINMON_HOME": home}
        child = Child("monitor", trainmon_command("serve", "--port", "0"), environment)
        try:
            address = child.announced("monitor")
            child.pass_on(sys.stderr)
            yield address
        finally:
            child.end()


class Watcher:
    """A viewer in a process of its own."""

    def __init__(self, address: str, rate: float, tile: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "common.watch", address, str(rate), str(tile)],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for_pictures(self) -> None:
        """Return once the first picture has come."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "watching":
            raise RuntimeError("the viewer ended before it saw a picture")

    def end(self) -> int:
        """End it and return how many pictures came."""
        output, _ = self._process.communicate("", timeout=30)
        return int(output.split()[-1])
