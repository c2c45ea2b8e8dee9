"""Viewers that stop reading, and go on when the monitor has ended their stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from kills.ledger import Tally
from kills.watcher import Seen
from trainmon.v1.dashboard_pb2 import WatchSessionResponse
from viewer import Viewer

__all__ = ["Sleeper", "asleep"]

#: Nothing is read beyond the window of HTTP/2: else some megabytes would be, by a reader asleep.
_OPTIONS = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 14)]


class Sleeper:
    """Watches a session with pictures, reads one event, and then nothing.

    Args:
        seen: Asks the monitor, on a connection of its own: one unread stream may stall others.
        session_id: The session.
    """

    def __init__(self, seen: Viewer, session_id: str) -> None:
        self._viewer, self._session_id = seen, session_id
        self._seen = Seen()
        self._stream = self._watch(60)
        self._seen.take(next(self._stream))

    def _watch(self, frames_per_second: float) -> Iterator[WatchSessionResponse]:
        cursor = self._seen.cursor
        return self._viewer.watch(self._session_id, frames_per_second, 128, cursor)

    def wake(self) -> None:
        """Read what is left of the stream, which must have been ended, and resume behind it.

        Raises:
            AssertionError: It ended otherwise.
        """
        try:
            for event in self._stream:
                self._seen.take(event)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise AssertionError(f"the stream of a viewer asleep ended: {error!r}") from error
        else:
            raise AssertionError("the stream of a viewer asleep ended well")
        before = self._seen.rows
        stream = self._watch(-1)
        for event in stream:
            self._seen.take(event)
            if not self._seen.cursor:  # too much has happened meanwhile
                self._seen.ask(self._viewer, self._session_id, self._seen.newest + 1)
                break
            if self._seen.rows > before:
                break
        stream.cancel()  # type: ignore[attr-defined] # a grpc call, which is an iterator too

    def tally(self) -> Tally:
        """Return what it missed, or saw twice."""
        remarks = [f"asleep: {text}" for text in self._seen.breaks]
        return Tally(
            watched=self._seen.rows, resumed=1, misseen=len(self._seen.breaks), remarks=remarks
        )


@contextmanager
def asleep(port: int, session_id: str) -> Iterator[Sleeper]:
    """Give a viewer at a monitor's port that has fallen asleep."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
        yield Sleeper(Viewer(channel), session_id)
