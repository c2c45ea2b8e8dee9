"""Somebody who watches one run all the time, and goes on where the stream broke off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc

from stack import eventually
from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from viewer import Viewer

if TYPE_CHECKING:
    from kills.ledger import Tally
    from kills.stand import Stand

__all__ = ["Seen", "Watcher"]

_AGAIN_S = 0.05
#: Events after which it leaves the stream and comes back with its cursor, now and then.
_MOST_EVENTS = 200


class Seen:
    """What came to somebody who watches a run: every step once, one after the other."""

    def __init__(self) -> None:
        self.cursor = ""
        """Of the last event; empty: it has to ask for what there is."""
        self.newest = -1
        """Newest step of the loss that came."""
        self.rows = 0
        self.breaks: list[str] = []
        """Where a step was left out, or came again."""
        self._asked = -1
        self._epoch = -1

    def ask(self, seen: Viewer, session_id: str, first_step: int = 0) -> None:
        """Ask for what there is, from a step on; the stream goes on behind it."""
        points, self.cursor = seen.points(session_id, "loss", first_step=first_step)
        self.newest = self._asked = first_step - 1
        self._epoch = -1
        if "loss" in points:
            for step in points["loss"].steps:
                self._see(int(step))
        self._asked = self.newest

    def take(self, event: WatchSessionResponse) -> None:
        """Take in an event; what came is forgotten where it says so."""
        if event.HasField("snapshot") and event.snapshot.reset:
            self.cursor = ""
            return
        for series in event.metric_data.series:
            if series.name == "loss":
                for step in series.steps:
                    self._see(int(step))
        if event.HasField("epoch_data"):
            epoch = event.epoch_data.epoch
            if self._epoch >= 0 and epoch != self._epoch + 1:
                self.breaks.append(f"epoch {epoch} came after {self._epoch}")
            self._epoch = max(epoch, self._epoch)
        self.cursor = event.cursor

    def _see(self, step: int) -> None:
        if step <= self._asked:
            return  # came while it was asked for: told again rather than not at all
        self.rows += 1
        if self.newest >= 0 and step != self.newest + 1:
            self.breaks.append(f"step {step} came after {self.newest}")
        self.newest = max(step, self.newest)


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
        self._seen = Seen()
        self._left = 0
        self.resumed = 0

    @property
    def rows(self) -> int:
        """Rows that came."""
        return self._seen.rows

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
        what = f"the watcher sees step {last}"
        eventually(lambda: self._seen.newest, what, until=lambda newest: newest >= last)

    def judge(self, tally: Tally) -> None:
        """Tell what it missed, or saw twice."""
        tally.watched += self.rows
        tally.misseen += len(self._seen.breaks)
        tally.resumed += self.resumed
        tally.remarks += [f"watching: {text}" for text in self._seen.breaks]

    def _work(self) -> None:
        with self._stand.watching() as seen:
            while not self._stopping.wait(_AGAIN_S):
                with suppress(grpc.RpcError, StopIteration):
                    self._watch(seen)

    def _watch(self, seen: Viewer) -> None:
        name = self._stand.runs[0].name if self._stand.runs else ""
        ids = [each.session_id for each in seen.sessions() if each.session_name == name]
        if not ids:
            return
        if not self._seen.cursor:
            # What came before is asked for: the run may be over when it is first looked at.
            self._seen.ask(seen, ids[0])
        self._stream = seen.watch(ids[0], frames_per_second=-1, cursor=self._seen.cursor)
        self.resumed += 1
        self._left += 1
        most = self._left * 17 % _MOST_EVENTS + 1
        for number, event in enumerate(self._stream):
            self._seen.take(event)
            if not self._seen.cursor or number == most or self._stopping.is_set():
                self._stream.cancel()  # type: ignore[attr-defined] # as above
                return
