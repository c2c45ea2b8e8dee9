"""Watching a training to its end, as a page that wants every picture does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc

from trainmon.cli.children import Child
from viewer import Viewer

__all__ = ["watch_all_to_the_end", "watch_to_the_end"]


def watch_to_the_end(
    seen: Viewer, session_id: str, training: Child, patience_s: float
) -> list[int]:
    """Ask for 60 frames a second until a training has ended well; return the steps that came."""
    steps: list[int] = []
    with _reading(_watched(seen, session_id, patience_s), steps):
        assert training.wait(patience_s) == 0
    return steps


def watch_all_to_the_end(seen: Viewer, training: Child, patience_s: float) -> dict[str, list[int]]:
    """Do so of every session as it appears; return, by its id, the steps that came of each."""
    every = _Every(seen, patience_s)
    with _reading(seen.watch_sessions(patience_s), every):
        try:
            assert training.wait(patience_s) == 0
        finally:
            every.end()
    return every.steps


class _Every:
    """Watches each session that a list tells of."""

    def __init__(self, seen: Viewer, patience_s: float) -> None:
        self._seen = seen
        self._patience_s = patience_s
        self._readings: list[Any] = []
        self._lock = threading.Lock()
        self._ended = False
        self.steps: dict[str, list[int]] = {}

    def extend(self, messages: Iterator[Any]) -> None:
        """Watch the sessions of each message that are not watched yet."""
        for message in messages:
            for session in message.sessions:
                self._watch(session.session_id)

    def _watch(self, session_id: str) -> None:
        with self._lock:
            if self._ended or session_id in self.steps:
                return
            steps = self.steps[session_id] = []
            stream = _watched(self._seen, session_id, self._patience_s)
            self._readings.append(_reading(stream, steps))
            self._readings[-1].__enter__()

    def end(self) -> None:
        """Watch none any more."""
        with self._lock:
            self._ended = True
        for reading in self._readings:
            reading.__exit__(None, None, None)


class _Steps:
    """The steps of the pictures in a stream of events."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.cancel = stream.cancel

    def __iter__(self) -> Iterator[int]:
        return (e.batch_data.global_step for e in self._stream if e.HasField("batch_data"))


def _watched(seen: Viewer, session_id: str, patience_s: float) -> _Steps:
    stream = seen.watch(session_id, frames_per_second=60, tile_size=128, timeout_s=patience_s)
    return _Steps(stream)


@contextmanager
def _reading(stream: Any, into: Any) -> Iterator[None]:
    """Read a stream in a thread, until the block ends."""

    def read() -> None:
        with suppress(grpc.RpcError):  # the stream was cancelled
            into.extend(iter(stream))

    thread = threading.Thread(target=read, name="watching")
    thread.start()
    try:
        yield
    finally:
        stream.cancel()
        thread.join()
