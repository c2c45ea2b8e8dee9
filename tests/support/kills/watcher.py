"""Somebody who watches one run all the time, and goes on where the stream broke off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc

from stack import eventually
from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from trainmon.v1.telemetry_pb2 import MetricSeries
from viewer import Viewer, viewer

if TYPE_CHECKING:
    from kills.ledger import Tally
    from kills.stand import Stand

__all__ = ["Watcher"]

_AGAIN_S = 0.05
#: Events after which it leaves the stream and comes back with its cursor, now and then.
_MOST_EVENTS = 200


class Watcher:
    """Reads the stream of the first run, from a thread.

    Args:
        stand: Whose monitor is asked.
    """

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watcher")
        self._stream: Iterator[WatchSessionResponse] | None = None
        self._cursor = ""
        self._left = 0
        self._asked = -1
        self.newest = -1
        """Newest step of the loss that came."""
        self.rows = self.resumed = self.resets = 0
        self.breaks: list[str] = []
        """Where a step was left out, or came again."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; idempotent."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()  # type: ignore[attr-defined] # a grpc call, which is an iterator too
        if self._thread.is_alive():
            self._thread.join()

    def finish(self, last: int) -> None:
        """Wait until it has seen a step, the last there is."""
        eventually(lambda: self.newest, f"the watcher sees step {last}", until=lambda s: s >= last)

    def judge(self, tally: Tally) -> None:
        """Tell what it missed, or saw twice."""
        tally.watched += self.rows
        tally.misseen += len(self.breaks)
        tally.resumed += self.resumed
        tally.remarks += [f"watching: {text}" for text in self.breaks]

    def _work(self) -> None:
        with viewer(f"127.0.0.1:{self._stand.port}") as seen:
            while not self._stopping.wait(_AGAIN_S):
                with suppress(grpc.RpcError, StopIteration):
                    self._watch(seen)

    def _watch(self, seen: Viewer) -> None:
        name = self._stand.runs[0].name if self._stand.runs else ""
        ids = [each.session_id for each in seen.sessions() if each.session_name == name]
        if not ids:
            return
        if not self._cursor:
            # What came before is asked for: the run may be over when it is first looked at.
            points, self._cursor = seen.points(ids[0], "loss")
            self._begin(points)
        self._stream = seen.watch(ids[0], frames_per_second=-1, cursor=self._cursor)
        self.resumed += 1
        self._left += 1
        most = self._left * 17 % _MOST_EVENTS + 1
        for number, event in enumerate(self._stream):
            if event.HasField("snapshot") and event.snapshot.reset:
                # What came is to be forgotten, and asked for anew.
                self.resets += 1
                self._cursor = ""
            else:
                self._take(event)
            if not self._cursor or number == most or self._stopping.is_set():
                self._stream.cancel()  # type: ignore[attr-defined] # as above
                return

    def _take(self, event: WatchSessionResponse) -> None:
        for series in event.metric_data.series:
            if series.name == "loss":
                for step in series.steps:
                    self._see(int(step))
        self._cursor = event.cursor

    def _begin(self, points: dict[str, MetricSeries]) -> None:
        self.newest = self._asked = -1
        if "loss" in points:
            for step in points["loss"].steps:
                self._see(int(step))
        self._asked = self.newest

    def _see(self, step: int) -> None:
        if step <= self._asked:
            return  # came while it was asked for: told again rather than not at all
        self.rows += 1
        if self.newest >= 0 and step != self.newest + 1:
            self.breaks.append(f"step {step} came after {self.newest}")
        self.newest = max(step, self.newest)
