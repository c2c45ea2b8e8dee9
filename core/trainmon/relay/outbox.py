"""What is to reach the monitor for certain: kept until acknowledged, on disk where one works.

A record gets its number when it is taken in, and is not changed after. A commit writes all that
came since the last one to the spool; only then may it be sent. Its sequence on the wire is its
number and a base, which is other than 0 only where somebody has stored records under this name
that are not in the spool: those that an earlier relay could not write, or a spool that was lost.
Whether there are any only the monitor tells, when it is registered with: until then it is not known
which of its numbers are of the records here, so the spool says of those that none was sent.

In memory are what is under way, what is sent next, and what could not be written: while the disk
fails, records are kept there, and sent from there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from trainmon.relay import room
from trainmon.relay.entry import Entry, RecordKind, losses_in
from trainmon.relay.losses import LossCounter
from trainmon.relay.spool import Frame, Spool
from trainmon.relay.spool.frames import bytes_on_disk
from trainmon.v1.telemetry_pb2 import TelemetryRequest

__all__ = ["Outbox"]

#: Sent and not acknowledged at most, in bytes; beyond one record.
_IN_FLIGHT_BYTES = 1 << 20
#: What is kept in memory beside, of that which is sent next, in bytes.
_WINDOW_BYTES = 4 << 20
_READ_BYTES = 1 << 20
#: More than this in bytes is no longer sent within a moment.
_PROMPT_BYTES = 256 << 10
#: How often a disk that fails is tried again.
_RETRY_S = 1.0


class Outbox:
    """The records to deliver.

    Args:
        memory_bytes: Most memory that records take which cannot be written.
        losses: Where refusals are counted.
        spool: Where records are written; None: nowhere, they are kept in memory.
        on_failure: Called once whenever the disk begins to fail.
    """

    def __init__(
        self,
        memory_bytes: int,
        losses: LossCounter,
        spool: Spool | None = None,
        on_failure: Callable[[OSError], None] = lambda _: None,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._losses = losses
        self._spool = spool
        self._on_failure = on_failure
        marks = Frame(0, 0, 0, 0, 1) if spool is None else spool.journal.newest
        self._position, self._state = marks.position, marks.state
        self._base = marks.base
        self._last = self._committed = marks.first - 1
        """Newest number given; that may be sent."""
        self._reach = marks.reach
        """Newest number that may ever have been sent."""
        self._has_registered = False
        self._newest_else = self._last
        """Newest number that may be of something else than scalars."""
        oldest = 1 if spool is None else spool.journal.first
        self._acked = self._read_to = max(marks.acknowledged, oldest - 1)
        """Number up to which all is stored; up to which the window reaches."""
        self._new: list[Entry] = []
        self._new_bytes = 0
        self._unwritten: deque[Entry] = deque()
        self._unwritten_bytes = 0
        self._window: deque[Entry] = deque()
        self._window_bytes = 0
        self._sent = 0
        self._in_flight_bytes = 0
        self._skipped: set[int] = set()
        self._lost_counted = 0
        self._retry_s = self._read_again_s = self._tell_again_s = 0.0
        self.failing = False
        """Whether the disk fails, and what comes is kept in memory only."""
        self.closed = False
        """Nobody will take anything any more: whatever comes is refused."""

    # --- how much there is ------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """Bytes of disk and memory that records take now."""
        written = 0 if self._spool is None else self._spool.journal.bytes
        return written + self._unwritten_bytes + self._new_bytes

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory alone."""
        return self._window_bytes + self._unwritten_bytes + self._new_bytes

    @property
    def empty(self) -> bool:
        """Whether everything was acknowledged."""
        return self._acked >= self._last

    @property
    def count(self) -> int:
        """Records not yet acknowledged."""
        return self._last - self._acked

    @property
    def unwritten(self) -> int:
        """Records that are in memory alone."""
        return len(self._new) + len(self._unwritten)

    @property
    def lagging(self) -> bool:
        """Whether so much waits to be sent that what comes now is late."""
        return (
            self._read_to < self._committed
            or self._window_bytes - self._in_flight_bytes > _PROMPT_BYTES
        )

    @property
    def all_sent(self) -> bool:
        """Whether all that may be sent is on its way."""
        return self._sent == len(self._window) and self._read_to >= self._committed

    @property
    def can_wait(self) -> bool:
        """Whether all that may be sent is scalars, is on disk, and is not much."""
        if self._spool is None or self.failing or self._unwritten or self.lagging:
            return False
        sent = self._window[self._sent - 1].number if self._sent else self._acked
        return self._newest_else <= sent

    @property
    def halvings(self) -> int:
        """How often rows of scalars are to be halved before they are added."""
        return room.halvings(*self._fill())

    def waits(self, entry: Entry | None) -> bool:
        """Tell whether a record is yet to be acknowledged."""
        return entry is not None and entry.number > self._acked

    def _fill(self) -> tuple[int, int]:
        """Return the bytes that are taken, and the limit."""
        if self._spool is None or self.failing:
            return self._unwritten_bytes + self._new_bytes, self._memory_bytes
        return self._spool.journal.bytes + self._new_bytes, self._spool.limit_bytes

    # --- taking in --------------------------------------------------------------------------------

    def add(
        self, kind: RecordKind, request: TelemetryRequest, *, last: bool = False
    ) -> Entry | None:
        """Take in a record; None: there is no room, it is counted."""
        entry = Entry(kind, request.SerializeToString(), last)
        if self.closed or not self._has_room(entry):
            reason = "session_over" if self.closed else "queue_full"
            self._losses.add(kind.value, reason, losses_in(entry))
            return None
        self._last += 1
        entry.number = self._last
        if kind is not RecordKind.SCALARS:
            self._newest_else = self._last
        self._new.append(entry)
        self._new_bytes += entry.size
        return entry

    def _has_room(self, entry: Entry) -> bool:
        used, limit = self._fill()
        in_memory = self._spool is None or self.failing
        size = entry.size if in_memory else bytes_on_disk(entry)
        return room.has_room(entry.kind, size, used, limit)

    def commit(self, position: int, state: Callable[[], bytes]) -> None:
        """Write what came since the last commit; from now on it may be sent.

        Args:
            position: Bytes of the record ring up to here are contained in what was added. They may
                be released: what is not on disk now is kept in memory.
            state: Returns what a relay that follows goes on with, as of that position.
        """
        if not (self._new or self._unwritten):
            return
        new, self._new, self._new_bytes = self._new, [], 0
        told = state()
        self._keep(new, position, told)
        self._position, self._state = position, told
        reached = self._read_to == self._committed
        self._committed = self._last
        if reached and self._window_bytes < _WINDOW_BYTES:
            for entry in new:
                self._append_to_window(entry)
            self._read_to = self._committed

    def _keep(self, new: list[Entry], position: int, state: bytes) -> None:
        """Write records; where that cannot be, keep them in memory."""
        spool = self._spool
        if spool is not None and not (self.failing and time.monotonic() < self._retry_s):
            try:
                self._write_unwritten(spool)
                if new:
                    spool.write(self._frame(new, position, state))
            except OSError as error:
                self._fail(error)
            else:
                self.failing = False
                return
        self._unwritten += new
        self._unwritten_bytes += sum(entry.size for entry in new)

    def _write_unwritten(self, spool: Spool) -> None:
        """Write what could not be written before; the ring has let go of it."""
        while self._unwritten:
            chunk: list[Entry] = []
            size = 0
            while size < _READ_BYTES and len(chunk) < len(self._unwritten):
                chunk.append(self._unwritten[len(chunk)])
                size += chunk[-1].size
            spool.write(self._frame(chunk, self._position, self._state))
            for _ in chunk:
                self._unwritten.popleft()
            self._unwritten_bytes -= size

    def _frame(self, records: list[Entry], position: int, state: bytes) -> Frame:
        reach = records[-1].number if self._has_registered else self._reach
        return Frame(position, self._base, self._acked, reach, records[0].number, records, state)

    def _fail(self, error: OSError) -> None:
        self._retry_s = time.monotonic() + _RETRY_S
        if not self.failing:
            self.failing = True
            self._on_failure(error)

    def adopt(self, spool: Spool) -> None:
        """Write to a new and empty spool from now on, and what is in memory too."""
        self._spool = spool

    # --- sending ----------------------------------------------------------------------------------

    def registered(self, stored_sequence: int | None) -> None:
        """Note what the monitor has of us; what it lacks, and we have, is sent (again)."""
        stored = (stored_sequence or 0) - self._base
        if stored > self._reach:  # of records under our name that we do not have
            self._base += stored - self._reach
            stored = self._reach
        self._has_registered = True
        oldest = self._unwritten[0].number if self._unwritten else self._last + 1
        if self._new:
            oldest = min(oldest, self._new[0].number)
        if self._spool is not None and self._spool.journal.last:
            oldest = min(oldest, self._spool.journal.first)
        self._window.clear()
        self._window_bytes = self._in_flight_bytes = self._sent = 0
        self._acked = self._read_to = max(stored, oldest - 1)
        self._forget(self._acked)

    def _tells_of_base(self) -> bool:
        """Let a relay that follows know of the base before a record on disk is sent with it.

        It could else take what it finds for what the monitor has, and drop it. Returns False where
        the disk fails: then the record waits there.
        """
        if self._spool is None:
            return True
        journal = self._spool.journal
        marks, last = journal.newest, journal.last
        if last <= self._acked or (marks.base == self._base and marks.reach >= last):
            return True
        if time.monotonic() < self._tell_again_s:
            return False
        try:
            journal.mark(replace(marks, base=self._base, acknowledged=self._acked, reach=last))
        except OSError as error:
            self._tell_again_s = time.monotonic() + _RETRY_S
            self._fail(error)
            return False
        self.failing = bool(self._unwritten)
        return True

    def next(self) -> Entry | None:
        """Return the next record to send, with its sequence.

        None: there is none, or too many bytes are under way.
        """
        entry = self.peek()
        if entry is not None:
            entry.sequence = self._base + entry.number
            self._sent += 1
            self._in_flight_bytes += entry.size
            self._reach = max(self._reach, entry.number)
        return entry

    def peek(self) -> Entry | None:
        """Return the record that :meth:`next` would."""
        if self._in_flight_bytes >= _IN_FLIGHT_BYTES or not self._tells_of_base():
            return None
        if self._sent == len(self._window):
            self._fill_window()
        return self._window[self._sent] if self._sent < len(self._window) else None

    def _fill_window(self) -> None:
        """Take up what is sent next from the disk, or from what could not be written."""
        if self._read_to >= self._committed:
            return
        entries = self._read()
        if entries is None:  # the disk fails: it is tried again
            return
        if not entries:
            entries = [
                entry
                for entry in self._unwritten
                if self._read_to < entry.number <= self._committed
            ]
        for entry in entries:
            self._append_to_window(entry)
        self._read_to = entries[-1].number if entries else self._committed
        if not self._window:  # nothing of the rest can be read
            self._acked = self._read_to

    def _read(self) -> list[Entry] | None:
        """Return what follows on disk; None: the disk fails."""
        spool = self._spool
        if spool is None or self._read_to >= spool.journal.last:
            return []
        if time.monotonic() < self._read_again_s:
            return None
        try:
            entries = spool.journal.read(self._read_to + 1, _READ_BYTES)
        except OSError as error:
            self._read_again_s = time.monotonic() + _RETRY_S
            self._on_failure(error)
            return None
        lost, self._lost_counted = spool.journal.lost - self._lost_counted, spool.journal.lost
        self._losses.add("relay", "spool_corrupt", lost)
        return entries

    def _append_to_window(self, entry: Entry) -> None:
        self._window.append(entry)
        self._window_bytes += entry.size

    def drop_next(self, reason: str) -> None:
        """Drop the record that :meth:`peek` returned; the monitor will miss its number."""
        entry = self._window[self._sent]
        del self._window[self._sent]
        self._window_bytes -= entry.size
        if entry.number not in self._skipped:  # after a reconnection it may be met again
            self._skipped.add(entry.number)
            self._losses.add(entry.kind.value, reason, losses_in(entry))
        if not self._window:
            self._settle(self._read_to)

    def acknowledge(self, sequence: int) -> None:
        """Forget everything up to ``sequence``: the monitor has it."""
        number = sequence - self._base
        while self._sent and self._window[0].number <= number:
            entry = self._window.popleft()
            self._sent -= 1
            self._in_flight_bytes -= entry.size
            self._window_bytes -= entry.size
            self._acked = entry.number
        # What was dropped, or could not be read, will never be acknowledged.
        self._settle(self._window[0].number - 1 if self._window else self._read_to)

    def _settle(self, number: int) -> None:
        self._acked = max(self._acked, number)
        self._forget(self._acked)

    def _forget(self, number: int) -> None:
        """Give back what records up to a number take."""
        while self._unwritten and self._unwritten[0].number <= number:
            self._unwritten_bytes -= self._unwritten.popleft().size
        if self._skipped:
            self._skipped = {each for each in self._skipped if each > number}
        if self._spool is not None:
            self._spool.journal.acknowledge(number)

    # --- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more: the monitor wants none. What is on disk stays there."""
        for entry in (*self._unwritten, *self._new):
            self._losses.add(entry.kind.value, "session_over", losses_in(entry))
        self._unwritten.clear()
        self._new.clear()
        self._window.clear()
        self._unwritten_bytes = self._new_bytes = self._window_bytes = 0
        self._sent = self._in_flight_bytes = 0
        if self._spool is None:
            self._acked = self._last
        self.closed = True
