"""The monitor that ``trainmon gateway`` starts where none is given."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

import click

from trainmon.cli.children import Child, ChildError, trainmon_command
from trainmon.config import Settings, parse_address
from trainmon.monitor.lock import read_holder

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OwnMonitor"]

#: How long the first and the longest pause before another monitor is started is, in seconds.
PAUSE_S = (0.5, 10.0)


class OwnMonitor:
    """A monitor as a child process, started again where it dies; ended with the ``with``.

    Where the TRAINMON_HOME is served already, that monitor is used and nothing is started.

    Args:
        settings: Tell the TRAINMON_HOME.
        port: Where it shall listen; 0 takes a free one.

    Raises:
        ChildError: On entering, where it does not start; the message holds its last words.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._child: Child | None = None
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="trainmon-own-monitor")
        self.address = ""
        """Where it listens, host:port."""

    def __enter__(self) -> Self:
        try:
            self.address = self._start()
        except ChildError as error:
            self._end_child()
            holder = read_holder(self._settings.home)
            if "already serves" not in str(error) or holder is None or not holder.address:
                raise
            self.address = holder.address
            click.echo(
                f"a monitor already serves {self._settings.home} (pid {holder.pid}): using it",
                err=True,
            )
            return self
        except BaseException:
            self._end_child()
            raise
        _, self._port = parse_address(self.address)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._end_child()
        if self._thread.ident is not None:
            self._thread.join()

    def _start(self) -> str:
        """Start a child, let it announce itself, and pass on what it says from then on."""
        with self._guard:
            if self._stopping.is_set():
                return ""
            command = trainmon_command("serve", "--port", str(self._port))
            child = self._child = Child("monitor", command)
        address = child.announced("monitor")
        child.pass_on(sys.stderr)
        return address

    def _end_child(self) -> None:
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            child.end()

    def _supervise(self) -> None:
        pause = PAUSE_S[0]
        while True:
            child = self._child
            code = child.wait() if child is not None else None
            if self._stopping.is_set():
                return
            click.echo(f"the monitor ended with code {code}: starting another", err=True)
            self._end_child()
            if self._stopping.wait(pause):
                return
            pause = min(pause * 2, PAUSE_S[1])
            try:
                self._start()
            except ChildError as error:
                if not self._stopping.is_set():
                    click.echo(str(error), err=True)
