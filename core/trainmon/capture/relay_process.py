"""The relay as the training sees it: a process to start, to wake, to watch, and to start again.

Started by exec, never by fork: it inherits four descriptors and nothing else. While the training
runs, a relay that died is replaced from a thread that lives only for that, for starting a process
takes longer than a step may wait.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainmon.capture.door import log
from trainmon.channel import EXIT_FINAL, TrainerChannel, write_hello

if TYPE_CHECKING:
    from trainmon.config import Settings

__all__ = ["RelayProcess"]

_CHECK_NS = 250_000_000
_SHORT_LIFE_S = 5.0
_MAX_SHORT_LIVES = 8
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


class RelayProcess:
    """Keeps one relay running for one session.

    Args:
        channel: What the relay attaches to.
        settings: Handed down through the environment.
        hello: Returns what a relay that starts now is told; called from the restarting thread.
    """

    def __init__(
        self, channel: TrainerChannel, settings: Settings, hello: Callable[[], dict[str, Any]]
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._hello = hello
        self._process: subprocess.Popen[bytes] | None = None
        self._wake: socket.socket | None = None
        self._restarting: threading.Thread | None = None
        self._next_check_ns = 0
        self._started_s = 0.0
        self._short_lives = 0
        self._given_up = False
        self.restarts = 0
        """Relays started beyond the first."""

    @property
    def pid(self) -> int | None:
        """Process id of the relay; None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a relay.

        Raises:
            OSError: The system could not start it.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        hello = write_hello(self._hello())
        channel = self._channel.memory.descriptor
        passed = (channel, theirs.fileno(), hello)
        command = [sys.executable, "-m", "trainmon.relay"]
        command += ["--channel", str(channel), "--record-bytes", str(self._channel.record_bytes)]
        command += ["--wake", str(theirs.fileno()), "--hello", str(hello)]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # In a session of its own: a Ctrl-C meant for the training must not reach it.
                start_new_session=True,
                # `-m` puts the working directory first on the path, where a user's `random.py`
                # would be found before Python's own.
                cwd=_PACKAGE_PARENT,
                env=self._environment(),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(hello)
        self._process, self._wake = process, ours
        self._started_s = time.monotonic()

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._settings.to_environment()}
        path = environment.get("PYTHONPATH")
        if path:  # relative entries were meant from the training's folder
            parts = [os.path.abspath(part) for part in path.split(os.pathsep)]  # noqa: PTH100 - text
            environment["PYTHONPATH"] = os.pathsep.join(parts)
        return environment

    def check(self, now_ns: int) -> None:
        """Start another relay where this one died; costs next to nothing most of the time."""
        if now_ns < self._next_check_ns or self._given_up:
            return
        self._next_check_ns = now_ns + _CHECK_NS
        process = self._process
        if self._restarting is not None and self._restarting.is_alive():
            return
        if process is not None and process.poll() is None:
            return
        if process is not None and process.returncode == EXIT_FINAL:
            self._given_up = True
            return
        self._replace()

    def _replace(self) -> None:
        lived_s = time.monotonic() - self._started_s
        self._short_lives = self._short_lives + 1 if lived_s < _SHORT_LIFE_S else 0
        if self._short_lives > _MAX_SHORT_LIVES:
            self._given_up = True
            code = self._process.returncode if self._process else None
            log.warning(
                "trainmon: the relay ended %d times in a row within %.0f s of its start (exit "
                "code %s); this run is no longer shown, training goes on. To see why: "
                "%s -m trainmon.relay --help",
                self._short_lives,
                _SHORT_LIFE_S,
                code,
                sys.executable,
            )
            return
        self._restarting = threading.Thread(
            target=self._restart, name="trainmon-relay-restart", daemon=True
        )
        self._restarting.start()

    def _restart(self) -> None:
        old, self._wake = self._wake, None
        if old is not None:
            old.close()
        self._channel.slots.free_all()
        self.restarts += 1
        try:
            self.start()
        except OSError as error:
            self._process = None
            log.warning("trainmon: could not start a relay: %s; trying again", error)

    def wake(self) -> None:
        """Tell the relay that something urgent lies in the channel. Never waits, never raises."""
        wake = self._wake
        if wake is not None:
            with suppress(OSError):
                wake.send(b"\1")

    def wait(self, timeout_s: float) -> None:
        """Wait until the relay has something to say, or dies, or the time is over."""
        wake = self._wake
        if wake is None:
            time.sleep(min(timeout_s, 0.05))
            return
        try:
            select.select([wake], [], [], timeout_s)
            if not wake.recv(4096):  # its end is closed: do not spin until it is replaced
                time.sleep(min(timeout_s, 0.05))
        except (BlockingIOError, ValueError, OSError):
            return

    def join(self, timeout_s: float) -> None:
        """Wait for a restart under way."""
        if self._restarting is not None:
            self._restarting.join(timeout_s)

    def let_go(self) -> None:
        """Close our end. The relay goes on alone until its work is done."""
        self._given_up = True
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.close()
        if self._process is not None and self._process.poll() is None:
            # Not ours to wait for; without a code Popen's finaliser would warn of a leak.
            self._process.returncode = 0
        self._process = None
