"""One session as the monitor streams it, shared by all who watch it through this gateway.

There is one live stream, at the greatest demand. What it brings is framed once and handed to every
viewer. Cursors are opaque; that two streams of one session bring the same events in the same order
is all that is assumed of them.

A viewer who comes later gets a snapshot, and with a cursor what it missed, by a short *catch-up*
stream of its own, until a cursor on it is one the live stream has passed too: there the viewer
joins, with what the live stream brought since. So it sees no gap and no repeat.

A stream that resumes begins with a snapshot too, of now, but with the cursor it resumes from:
nothing is lost by following it from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from grpclib.const import Status

from trainmon.tasks import Tasks
from trainmon.v1.dashboard_pb2 import WatchSessionRequest
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import Frame, frame
from trainmon_gateway.peek import KEEP_ALIVE, PICTURE, SNAPSHOT, Peek, peek, says_reset
from trainmon_gateway.upstream import Upstream
from trainmon_gateway.viewer import Demand, Viewer, greatest

__all__ = ["SessionFeed"]

_log = logging.getLogger(__name__)

#: How long a demand outlives the viewer who had it, in seconds.
LINGER_S = 2.0
#: For how long a snapshot serves the next viewer too, in seconds.
SNAPSHOT_SERVES_S = 2.0
#: How many cursors are remembered; at 100 events a second, those of 40 s.
CURSORS = 4096
#: A live stream that breaks off so often without bringing anything is given up.
REOPENINGS = 3


class _Log:
    """The newest events of the live stream, and which cursor stood where among them.

    A position is the number of events before it.

    Args:
        limit: Greatest number of bytes held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Frame] = deque()
        self._bytes = 0
        self._end = 0
        self._positions: dict[bytes, int] = {}

    @property
    def end(self) -> int:
        """The position after the newest event."""
        return self._end

    def append(self, event: Frame) -> None:
        self._events.append(event)
        self._bytes += len(event)
        self._end += 1
        while self._bytes > self._limit:
            self._bytes -= len(self._events.popleft())

    def mark(self, cursor: bytes) -> None:
        """Note that a cursor stands at the end; an empty one says nothing."""
        if not cursor:
            return
        self._positions.pop(cursor, None)  # so that the newest are last
        self._positions[cursor] = self._end
        while len(self._positions) > CURSORS:
            del self._positions[next(iter(self._positions))]

    def position_of(self, cursor: bytes) -> int | None:
        """Return where a cursor stands; None if it is unknown or what followed is not all here."""
        position = self._positions.get(cursor)
        return position if position is not None and self.holds(position) else None

    def holds(self, position: int) -> bool:
        """Tell whether everything from a position on is here."""
        return position >= self._end - len(self._events)

    def since(self, position: int) -> list[Frame]:
        """Return the events from a position on."""
        count = self._end - position
        return list(self._events)[len(self._events) - count :] if count else []

    def clear(self) -> None:
        """Forget everything; positions go on."""
        self._events.clear()
        self._bytes = 0
        self._positions.clear()


@dataclass
class _Snapshot:
    frame: Frame
    position: int
    taken: float
    #: Whether it holds the newest picture, as it does where pictures were asked for.
    has_picture: bool


@dataclass(eq=False)
class _Membership:
    viewer: Viewer
    joined: bool = False
    #: The cursor of the last thing it was given by its catch-up stream.
    cursor: bytes = b""
    catch_up: asyncio.Task[None] | None = None


class SessionFeed:
    """Streams one session to any number of viewers.

    Args:
        upstream: The monitor.
        tasks: Where the streams' tasks run.
        session_id: The session.
        log_bytes: What is kept of past events, so that viewers can join, in bytes.
        on_end: Called once when the feed has ended and takes no more viewers.
    """

    def __init__(
        self,
        upstream: Upstream,
        tasks: Tasks,
        session_id: str,
        log_bytes: int,
        on_end: Callable[[], None],
    ) -> None:
        self._upstream = upstream
        self._tasks = tasks
        self._session_id = session_id
        self._on_end = on_end
        self._log = _Log(log_bytes)
        self._members: dict[Viewer, _Membership] = {}
        self._waiting: dict[bytes, list[_Membership]] = {}
        self._snapshot: _Snapshot | None = None
        self._picture: Frame | None = None
        self._cursor = b""
        self._demand = Demand(-1)
        self._reader: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reopen = False
        self._ended = False

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._members)

    @property
    def demand(self) -> Demand:
        """What is asked of the monitor now."""
        return self._demand

    def attach(self, viewer: Viewer, resume_cursor: str) -> None:
        """Let a viewer watch, from now or from after a cursor."""
        member = self._members[viewer] = _Membership(viewer)
        self._raise_demand()
        viewer.pace(self._demand)
        if not resume_cursor and (self._snapshot is None or self._join_at_snapshot(member)):
            return  # where there is no snapshot yet, the live stream begins with one
        self._start_catch_up(member, resume_cursor)

    def detach(self, viewer: Viewer) -> None:
        """Forget a viewer that has left; what only it wanted is asked for 2 s longer."""
        member = self._members.pop(viewer, None)
        if member is None:
            return
        self._leave_waiting(member)
        if member.catch_up is not None:
            member.catch_up.cancel()
        if not self._ended:
            if self._timer is not None:
                self._timer.cancel()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LINGER_S, self._lower_demand)

    # --- demand ---

    def _raise_demand(self) -> None:
        wanted = greatest([each.demand for each in self._members])
        if self._reader is None:
            self._demand = wanted
            self._start_reader()
        elif not self._demand.covers(wanted):
            self._change_demand(greatest([wanted, self._demand]))

    def _lower_demand(self) -> None:
        self._timer = None
        if not self._members:
            self.end(None)
            return
        wanted = greatest([each.demand for each in self._members])
        if wanted != self._demand:
            self._change_demand(wanted)

    def _change_demand(self, demand: Demand) -> None:
        """Open the live stream anew, from where it is."""
        self._demand = demand
        for viewer in self._members:
            viewer.pace(demand)
        self._reopen = True
        if self._reader is not None:
            self._reader.cancel()

    # --- the live stream ---

    def _start_reader(self) -> None:
        self._reopen = False
        self._reader = self._tasks.start(self._read(), f"trainmon-live-{self._session_id}")
        self._reader.add_done_callback(self._reader_ended)

    def _reader_ended(self, task: asyncio.Task[None]) -> None:
        if self._ended:
            if not task.cancelled():
                task.exception()  # seen: the cancellation was turned into it
            return
        if self._reopen and (task.cancelled() or task.exception() is not None):
            # Also where grpclib made another error of the cancellation; what is wrong with the
            # monitor shows again on the stream that is opened anew.
            self._start_reader()
            return
        self.end(self._error_of(task))

    def _error_of(self, task: asyncio.Task[None]) -> CallError | None:
        if task.cancelled():
            return CallError(Status.UNAVAILABLE, "the gateway is shutting down")
        error = task.exception()
        if error is None or isinstance(error, CallError):
            return error
        _log.error("the feed of session %s failed", self._session_id, exc_info=error)
        return CallError(Status.INTERNAL, "the gateway failed: its log says where")

    async def _read(self) -> None:
        failures = 0
        while True:
            position = self._log.end
            try:
                await self._read_stream()
            except CallError as error:
                # A live stream that the gateway read too slowly goes on from its cursor.
                if error.status is not Status.RESOURCE_EXHAUSTED or not self._cursor:
                    raise
                failures = failures + 1 if self._log.end == position else 0
                if failures >= REOPENINGS:
                    raise
            else:
                return

    async def _read_stream(self) -> None:
        request = self._request(self._cursor, self._demand)
        async with aclosing(self._upstream.stream("WatchSession", request)) as messages:
            async for message in messages:
                self._take(message)

    def _request(self, cursor: bytes, demand: Demand) -> bytes:
        return WatchSessionRequest(
            session_id=self._session_id,
            frames_per_second=demand.on_the_wire,
            tile_size=demand.tile_size,
            resume_cursor=cursor.decode("utf-8"),
        ).SerializeToString()

    def _take(self, message: bytes) -> None:
        found = peek(message)
        framed = frame(message, found.cursor)
        if found.event == SNAPSHOT:
            self._take_snapshot(message, found, framed)
        elif found.event == PICTURE:
            self._picture = framed
            self._log.mark(found.cursor)
            for member in self._members.values():
                if member.joined:
                    member.viewer.show(framed)
        else:
            if found.event != KEEP_ALIVE:
                self._log.append(framed)
            self._log.mark(found.cursor)
            for member in self._members.values():
                if member.joined:
                    member.viewer.push(framed)
        self._cursor = found.cursor or self._cursor
        self._admit_waiting(found.cursor)

    def _take_snapshot(self, message: bytes, found: Peek, framed: Frame) -> None:
        fresh = not self._cursor
        reset = not fresh and says_reset(message, found)
        if not fresh and not reset:
            return  # opened anew: the viewers have had all of it
        self._log.clear()
        self._log.mark(found.cursor)
        self._picture = None
        loop = asyncio.get_running_loop()
        has_picture = self._demand.frames_per_second > 0
        self._snapshot = _Snapshot(framed, self._log.end, loop.time(), has_picture)
        for member in self._members.values():
            newcomer = member.catch_up is None and not member.joined
            if newcomer or (reset and member.joined):
                member.joined = True
                member.viewer.push(framed)

    # --- joining ---

    def _join_at_snapshot(self, member: _Membership) -> bool:
        snapshot = self._snapshot
        if snapshot is None or not self._log.holds(snapshot.position):
            return False
        if asyncio.get_running_loop().time() - snapshot.taken > SNAPSHOT_SERVES_S:
            return False
        if member.viewer.demand.frames_per_second > 0 and not snapshot.has_picture:
            return False
        member.viewer.push(snapshot.frame)
        self._join(member, snapshot.position)
        return True

    def _join(self, member: _Membership, position: int) -> None:
        member.joined = True
        for event in self._log.since(position):
            member.viewer.push(event)
        if self._picture is not None:
            member.viewer.show(self._picture)

    def _start_catch_up(self, member: _Membership, cursor: str) -> None:
        work = self._catch_up(member, cursor.encode("utf-8"))
        member.catch_up = self._tasks.start(work, f"trainmon-catch-up-{self._session_id}")
        member.catch_up.add_done_callback(lambda task: self._catch_up_ended(member, task))

    def _catch_up_ended(self, member: _Membership, task: asyncio.Task[None]) -> None:
        if not member.joined:
            member.viewer.end(self._error_of(task))

    async def _catch_up(self, member: _Membership, cursor: bytes) -> None:
        """Give a viewer what it lacks, until the live stream has it too."""
        request = self._request(cursor, member.viewer.demand)
        async with aclosing(self._upstream.stream("WatchSession", request)) as messages:
            async for message in messages:
                if not member.joined:
                    self._pass_on(member, message, peek(message), resumed=bool(cursor))
                if member.joined or member.viewer.ended:
                    break
                await member.viewer.has_room()

    def _pass_on(self, member: _Membership, message: bytes, found: Peek, *, resumed: bool) -> None:
        framed = frame(message, found.cursor)
        if found.event == PICTURE:
            member.viewer.show(framed)
        else:
            member.viewer.push(framed)
        if found.event == SNAPSHOT and not resumed:
            self._keep_snapshot(framed, found.cursor, member.viewer.demand)
        self._leave_waiting(member)
        position = self._log.position_of(found.cursor)
        if position is not None:
            self._join(member, position)
        elif found.cursor:
            member.cursor = found.cursor
            self._waiting.setdefault(found.cursor, []).append(member)

    def _keep_snapshot(self, framed: Frame, cursor: bytes, demand: Demand) -> None:
        """Let a newer snapshot serve the next viewers."""
        position = self._log.position_of(cursor)
        if position is not None:
            now = asyncio.get_running_loop().time()
            self._snapshot = _Snapshot(framed, position, now, demand.frames_per_second > 0)

    def _admit_waiting(self, cursor: bytes) -> None:
        for member in self._waiting.pop(cursor, ()):
            self._join(member, self._log.end)
            if member.catch_up is not None:
                member.catch_up.cancel()

    def _leave_waiting(self, member: _Membership) -> None:
        waiting = self._waiting.get(member.cursor)
        if waiting is not None and member in waiting:
            waiting.remove(member)
            if not waiting:
                del self._waiting[member.cursor]

    # --- the end ---

    def end(self, error: CallError | None) -> None:
        """End the streams, and every viewer with this error or well."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._reader is not None:
            self._reader.cancel()
        for member in self._members.values():
            member.viewer.end(error)
            if member.catch_up is not None:
                member.catch_up.cancel()
        self._on_end()
