"""Processes that a command starts and ends: servers that say on a line where they listen."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from trainmon.errors import TrainmonError

__all__ = ["Child", "ChildError", "trainmon_command"]


#: How long the last words of a process that has ended are waited for.
_LAST_WORDS_S = 1.0


class ChildError(TrainmonError):
    """A process that a command needs did not start; the message holds what it said."""


def trainmon_command(*arguments: str) -> list[str]:
    """Return the command line of ``trainmon`` with the interpreter that runs now."""
    return [sys.executable, "-m", "trainmon.cli", "--child", *arguments]


class Child:
    """A process in a session of its own, so that a Ctrl-C reaches it only through us.

    Args:
        name: For messages.
        command: What to run.
        environment: All of its variables; None: ours.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._draining: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> IO[str]:
        """What it writes, both streams together."""
        if self._process.stdout is None:  # never: it was opened with a pipe
            raise ChildError(f"{self.name} has no output")
        return self._process.stdout

    def announced(self, prefix: str) -> str:
        """Wait for the line ``prefix: VALUE`` and return the value.

        Raises:
            ChildError: It ended first; the message holds its last words.
        """
        for line in self.output:
            self._lines.append(line.rstrip())
            if line.startswith(f"{prefix}: "):
                return line[len(prefix) + 2 :].strip()
        code = self._process.wait()
        cause = "\n".join(line for line in self._lines[-5:] if line).removeprefix("Error: ")
        end = f"{self.name} ended with code {code} before it listened"
        raise ChildError(f"{cause}\n({end})" if cause else end)

    def pass_on(self, target: IO[str], *, but: str = "\0") -> None:
        """From now on, copy its output line by line, from a thread.

        It ends with the last process that writes there: a relay may go on after its training.

        Args:
            target: Where to.
            but: How lines begin that are left out.
        """

        def copy() -> None:
            with self.output as lines:
                for line in lines:
                    if not line.startswith(but):
                        target.write(line)
                        target.flush()

        self._draining = threading.Thread(target=copy, name=f"trainmon-{self.name}", daemon=True)
        self._draining.start()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return its exit code; None where it still runs after the time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def interrupt(self) -> None:
        """Send it what Ctrl-C would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def end(self, timeout_s: float = 5.0) -> None:
        """Ask it to end, and kill it where it does not; idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(timeout_s) is None:
                self._process.kill()
                self._process.wait()
        if self._draining is not None:
            self._draining.join(_LAST_WORDS_S)  # then it closes the pipe by itself
        else:
            self.output.close()
