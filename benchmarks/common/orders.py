"""Processes that measure when they are told to: one line of JSON in, one line of JSON out.

Needs nothing beyond the standard library: rivals' own interpreters run it.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Orders", "Worker", "WorkerError"]

#: The dearest order takes a quarter of a minute on a quiet machine.
_HANGS_S = 300
_FOLDER = Path(__file__).parent.parent


class WorkerError(Exception):
    """A process that was to measure ended; the message holds its last words."""


class Orders:
    """The end that obeys. Whatever else the process prints goes to its standard error."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self._lines.put("")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield orders until no more come."""
        while line := self._lines.get():
            yield json.loads(line)

    @property
    def waiting(self) -> bool:
        """Whether there is another order, or the end of them."""
        return not self._lines.empty()

    def next(self) -> dict[str, Any]:
        """Wait for an order.

        Raises:
            EOFError: No more come.
        """
        for order in self:
            return order
        raise EOFError("whoever gave orders is gone")

    def answer(self, **fields: Any) -> None:
        """Tell what was found."""
        print(json.dumps(fields), file=self._answers, flush=True)


class Worker:
    """The end that gives orders.

    Args:
        module: Of the folder of the benchmarks.
        python: Interpreter.
        environment: Variables beside ours.
    """

    def __init__(
        self,
        module: str,
        python: str | Path = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by end()
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TRAINMON_")}
        self._process = subprocess.Popen(
            [str(python), "-m", module],
            cwd=_FOLDER,
            env={**kept, **_ONE_THREAD, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
        )

    def send(self, **order: Any) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def hear(self) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            WorkerError: The process ended instead, or hangs.
        """
        assert self._process.stdout is not None
        # An answer is one line, and read whole: none waits in the buffer.
        if not select.select([self._process.stdout], [], [], _HANGS_S)[0]:
            self._process.kill()
            raise WorkerError(f"{self._module} gave no answer within {_HANGS_S} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        self.send(**order)
        return self.hear()

    def end(self, timeout_s: float = 30.0) -> None:
        """Let it end by itself, and kill it where it does not; idempotent."""
        try:
            self._process.communicate(timeout=timeout_s)
        except (subprocess.TimeoutExpired, ValueError, OSError):
            self._process.kill()
            self._process.wait()
        self._words.close()

    def __enter__(self) -> Worker:  # noqa: PYI034 - Self is not in typing before 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _ended(self) -> WorkerError:
        code = self._process.wait()
        self._words.seek(0)
        words = self._words.read().strip().splitlines()[-12:]
        return WorkerError("\n".join([f"{self._module} ended with code {code}:", *words]))


#: As is sensible on two cores, and what trainings with a data loader do.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
