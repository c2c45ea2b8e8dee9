"""The relay as the training sees it: a process to start, to wake, to watch, and to start again.

Started by exec, never by fork: it inherits four descriptors and nothing else. While the training
runs, a relay that died is replaced from a thread that lives only for that, for starting a process
takes longer than a step may wait. Everything else happens on the training's thread.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainmon.capture.door import log
from trainmon.channel import EXIT_FINAL, TrainerChannel, Word, write_hello

if TYPE_CHECKING:
    from trainmon.config import Settings

__all__ = ["RelayProcess"]

_CHECK_NS = 250_000_000
#: A monitor that does not answer for so long is told of.
_AWAY_NS = 3_000_000_000
_SHORT_LIFE_S = 5.0
_MAX_SHORT_LIVES = 8
#: How long to wait where the relay cannot tell that it has something to say.
_DEAF_S = 0.05
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]

#: Relays that went on alone. Each is a zombie once it has ended, until it is waited for.
_left: set[int] = set()


def _bury() -> None:
    for pid in tuple(_left):
        try:
            done = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:  # waited for by the script, or the child of a forked parent
            done = True
        if done:
            _left.discard(pid)


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
        self._tried_s = 0.0
        self._short_lives = 0
        self._alive_ns = 0
        self._quiet = False
        self._told = False
        self._unseen = False
        self._dismissed = False
        self._given_up = not channel.shared
        self._gone = False
        self.restarts = 0
        """Relays started beyond the first, or tried to."""

    @property
    def pid(self) -> int | None:
        """Process id of the relay; None while there is none."""
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        """Start a relay; where that fails it is said once, and tried again by :meth:`check`."""
        if self._given_up:
            return
        descriptor = self._descriptor()
        if descriptor is not None:
            self._start(descriptor)

    def _descriptor(self) -> int | None:
        """Return a descriptor of the channel for one start; None where there are no more.

        The session may end meanwhile and close its own, whose number the script may then use.
        """
        self._tried_s = time.monotonic()
        self._alive_ns = self._channel.block.words[Word.RELAY_ALIVE_NS]
        try:
            return os.dup(self._channel.memory.descriptor)
        except OSError as error:
            self._could_not_start(error)
            return None

    def _start(self, descriptor: int) -> None:
        """Start a relay on a descriptor of the channel, which is closed."""
        try:
            process, wake = self._spawn(descriptor)
        # Not only OSError: an embedded Python has no executable, an interpreter that ends starts
        # nothing. Law 1: whatever it is, the training goes on without a relay.
        except Exception as error:  # noqa: BLE001 - the door of a process' start; said once
            self._process = None
            self._could_not_start(error)
            return
        finally:
            os.close(descriptor)
        self._process, self._wake = process, wake
        if self._gone:
            self.let_go()

    def _spawn(self, descriptor: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
        _bury()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            fields = self._hello()
            hello, run = write_hello(fields), str(fields.get("info", {}).get("producer_id", ""))
            try:
                return self._execute(descriptor, theirs.fileno(), hello, run), ours
            finally:
                os.close(hello)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def _execute(self, channel: int, wake: int, hello: int, run: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "trainmon.relay"]
        command += ["--channel", str(channel), "--record-bytes", str(self._channel.record_bytes)]
        command += ["--wake", str(wake), "--hello", str(hello), "--run", run]
        return subprocess.Popen(
            command,
            pass_fds=(channel, wake, hello),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if self._quiet else None,
            # In a session of its own: a Ctrl-C meant for the training must not reach it.
            start_new_session=True,
            # `-m` puts the working directory first on the path, where a user's `random.py` would
            # be found before Python's own.
            cwd=_PACKAGE_PARENT,
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._settings.to_environment()}
        path = environment.get("PYTHONPATH")
        if path:  # relative entries were meant from the training's folder
            parts = [os.path.abspath(part) for part in path.split(os.pathsep)]  # noqa: PTH100 - text
            environment["PYTHONPATH"] = os.pathsep.join(parts)
        return environment

    def _could_not_start(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "trainmon: could not start the relay: %s: %s; it is tried again, training goes on "
                "(said once)",
                type(error).__name__,
                error,
            )

    # --- while the training runs ------------------------------------------------------------------

    def check(self, now_ns: int) -> None:
        """Start another relay where this one died; costs next to nothing most of the time."""
        if now_ns < self._next_check_ns:
            return
        self._next_check_ns = now_ns + _CHECK_NS
        if self._lacking() and self._worth_another():
            self._replace()
        lost_ns = self._channel.block.words[Word.LINK_LOST_NS]
        # A relay that has ended for good left this as it was.
        if lost_ns and now_ns - lost_ns > _AWAY_NS and not self._given_up:
            self.tell_unseen()

    def tell_unseen(self) -> None:
        """Say, once, that nobody can see this run for want of a monitor."""
        if not self._unseen and self._channel.block.words[Word.LINK_LOST_NS]:
            self._unseen = True
            log.warning(
                "trainmon: no monitor answers at %s: this run is not seen now; training goes on, "
                "and what the relay holds is shown once one answers (start it: trainmon gateway)",
                self._settings.monitor,
            )

    def is_over(self) -> bool:
        """Return whether there is no relay, and will be none any more."""
        self._lacking()
        return self._given_up

    def tell_dismissed(self) -> None:
        """Say at the training's end, where a relay was sent away before, what cannot be seen."""
        if self._dismissed:
            log.warning(
                "trainmon: the monitor at %s wanted nothing more of this run before it ended: what "
                "came after is not shown",
                self._settings.monitor,
            )

    def _lacking(self) -> bool:
        """Return whether there is no relay and none is being started."""
        if self._given_up or (self._restarting is not None and self._restarting.is_alive()):
            return False
        process = self._process
        if process is not None and process.poll() == EXIT_FINAL:
            self._given_up = self._dismissed = True
        return not self._given_up and (process is None or process.returncode is not None)

    def _worth_another(self) -> bool:
        short = self._still_born() or time.monotonic() - self._tried_s < _SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives <= _MAX_SHORT_LIVES:
            return True
        self._given_up = True
        log.warning(
            "trainmon: the relay ended %d times in a row within %.0f s of its start (exit "
            "code %s); this run is no longer shown, training goes on. To see why: "
            "%s -m trainmon.relay --help",
            self._short_lives,
            _SHORT_LIFE_S,
            self._process.returncode if self._process else "none, it could not be started",
            sys.executable,
        )
        return False

    def _still_born(self) -> bool:
        """Return whether the relay that was started last has ended before it ever looked."""
        return bool(self._channel.block.words[Word.RELAY_ALIVE_NS] == self._alive_ns)

    def _replace(self) -> None:
        """Start another relay in a thread. What the dead one held is taken back here and now."""
        self._bury_old()
        descriptor = self._descriptor()
        if descriptor is None:
            return
        self._restarting = threading.Thread(
            target=self._start, args=(descriptor,), name="trainmon-relay-restart", daemon=True
        )
        try:
            self._restarting.start()
        except RuntimeError as error:  # no more threads
            os.close(descriptor)
            self._restarting = None
            self._could_not_start(error)

    def _bury_old(self) -> None:
        self.restarts += 1
        old = self._process
        # It has said why it cannot start, and the next one would say the same.
        self._quiet = old is not None and (old.returncode or 0) > 0 and self._still_born()
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.close()
        self._channel.reclaim_slots()

    def revive(self, timeout_s: float) -> None:
        """See to it that a relay runs, at once: the training is about to end."""
        if self._restarting is not None:
            self._restarting.join(timeout_s)
        if self._lacking():
            self._bury_old()
            self.start()

    def wake(self) -> None:
        """Tell the relay that something urgent lies in the channel. Never waits, never raises."""
        wake = self._wake
        if wake is not None:
            # Written out: between the steps of a training each function passed through counts.
            try:  # noqa: SIM105
                wake.send(b"\1")
            except OSError:
                pass

    def wait(self, timeout_s: float) -> None:
        """Wait until the relay has something to say, or dies, or the time is over."""
        wake = self._wake
        if wake is None:
            time.sleep(min(timeout_s, _DEAF_S))
            return
        # Not select(), which refuses descriptors above 1023.
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.poll(timeout_s * 1e3)
        try:
            if not wake.recv(4096):  # its end is closed: do not spin until it is replaced
                time.sleep(min(timeout_s, _DEAF_S))
        except OSError:  # nothing to read, or reset: the next look finds it closed
            return

    def let_go(self, *, forked: bool = False) -> None:
        """Close our end. The relay goes on alone until its work is done.

        Args:
            forked: In a forked child, whose child the relay is not.
        """
        self._given_up = self._gone = True  # a start that is under way sees it when it is done
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.close()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            if not forked:
                _left.add(process.pid)
            # Without a code Popen's finaliser would warn of a leak.
            process.returncode = 0
        if not forked:
            _bury()
