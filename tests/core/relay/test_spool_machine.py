"""Any course of kills, torn writes, failing disks, lost links and monitors: exactly once, in order.

The machine plays training, relay, disk, link and monitor; only outbox and spool are the real ones.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trainmon.relay.entry import RecordKind
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.relay.spool import Spool
from trainmon.relay.spool.journal import Journal
from trainmon.v1.telemetry_pb2 import EpochData, TelemetryRequest

SPOOL_BYTES = 1 << 18


class Monitor:
    """Stores what is new by its number, and acknowledges."""

    def __init__(self) -> None:
        self.records: list[int] = []
        self.stored: int | None = None

    def take(self, sequence: int, record: int) -> None:
        """Store a record unless its number is stored."""
        if sequence > (self.stored or 0):
            self.stored = sequence
            self.records.append(record)


class Delivery(RuleBasedStateMachine):
    """The training writes records numbered from 0 into a ring; each is to be stored once."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.trained = 0
        """Records the training has written."""
        self.released = 0
        """Of these the ring has let go."""
        self.read = 0
        self.monitor = Monitor()
        self.excused: set[int] = set()
        """Records that may be missing: only in memory when a relay was killed, or a store lost."""
        self.spool: Spool | None = None
        self.outbox: Outbox | None = None
        self.linked = False
        self.disk_works = self.disk_has_room = True
        self.begin()

    # --- the relay's life -------------------------------------------------------------------------

    @precondition(lambda self: self.outbox is None)
    @rule()
    def begin(self) -> None:
        """Start a relay; it reads on where the one before it has left off for good."""
        self.spool = Spool.of(Path(self.home.name), "producer", SPOOL_BYTES)
        self.spool.journal._segment_bytes = 300  # so that there are many
        self.outbox = Outbox(1 << 30, LossCounter(), self.spool)
        self.read = max(self.released, self.spool.journal.newest.position)
        self.linked = False
        self._set_disk()

    @precondition(lambda self: self.outbox is not None)
    @rule(when=st.sampled_from(["idle", "before", "within", "after"]), data=st.data())
    def kill(self, when: str, data: st.DataObject) -> None:
        """Kill the relay: between turns, before, within or after the write of a turn."""
        assert self.outbox is not None
        assert self.spool is not None
        if when != "idle":
            self._take()
        if (
            when in ("within", "after")
            and not self.outbox.failing
            and self.disk_works
            and self.disk_has_room
        ):
            sizes = {path: path.stat().st_size for path in self._segments()}
            unwritten = len(self.outbox._unwritten)
            self.outbox.commit(self.read, lambda: b"{}")
            if when == "within" and not unwritten:
                self._tear(sizes, data)
        self.excused |= {_record_of(entry.message) for entry in self.outbox._unwritten}
        self._drop()

    def _tear(self, before: dict[Path, int], data: st.DataObject) -> None:
        """Cut off some of what the last write wrote."""
        for path in self._segments():
            size, began = path.stat().st_size, before.get(path, 0)
            if size > began:
                with path.open("r+b") as file:
                    file.truncate(data.draw(st.integers(began, size - 1)))

    def _segments(self) -> list[Path]:
        assert self.spool is not None
        return sorted(self.spool.folder.glob("*.frames"))

    def _drop(self) -> None:
        if self.spool is not None:
            self.spool.close()
        self.spool = self.outbox = None
        self.linked = False

    # --- a turn -----------------------------------------------------------------------------------

    @rule(count=st.integers(1, 5))
    def train(self, count: int) -> None:
        """The training writes records."""
        self.trained += count

    @precondition(lambda self: self.outbox is not None)
    @rule()
    def turn(self) -> None:
        """The relay reads all, writes it, and lets the ring go."""
        assert self.outbox is not None
        self._take()
        self.outbox._retry_s = self.outbox._tell_again_s = 0.0
        self.outbox.commit(self.read, lambda: b"{}")
        self.released = self.read

    def _take(self) -> None:
        assert self.outbox is not None
        while self.read < self.trained:
            request = TelemetryRequest(epoch_data=EpochData(epoch=self.read))
            assert self.outbox.add(RecordKind.EPOCH, request) is not None
            self.read += 1

    # --- the link ---------------------------------------------------------------------------------

    @precondition(lambda self: self.outbox is not None)
    @rule()
    def link(self) -> None:
        """Register, perhaps again."""
        assert self.outbox is not None
        self.outbox.registered(self.monitor.stored)
        self.linked = True

    @precondition(lambda self: self.linked)
    @rule()
    def lose_link(self) -> None:
        """What was under way may or may not have arrived."""
        self.linked = False

    @precondition(lambda self: self.linked)
    @rule(count=st.integers(1, 8), arrive=st.integers(0, 8), answer=st.booleans())
    def send(self, count: int, arrive: int, answer: bool) -> None:
        """Send some; the first few arrive, and if all do the answer may."""
        assert self.outbox is not None
        for index in range(count):
            entry = self.outbox.next()
            if entry is None:
                break
            if index >= arrive:  # lost with the link: nothing behind it arrives either
                self.linked = False
                return
            self.monitor.take(entry.sequence, _record_of(entry.message))
        if answer and self.monitor.stored is not None:
            self.outbox.acknowledge(self.monitor.stored)

    @precondition(lambda self: self.outbox is not None)
    @rule(count=st.integers(1, 5), sent=st.integers(0, 5))
    def flow(self, count: int, sent: int) -> None:
        """For once nothing happens but what should."""
        self.train(count)
        self.turn()
        if not self.linked:
            self.link()
        self.send(sent, sent, True)

    @rule()
    def lose_store(self) -> None:
        """The monitor comes back with an empty store."""
        self.excused |= set(self.monitor.records)
        self.monitor = Monitor()
        self.linked = False

    # --- the disk ---------------------------------------------------------------------------------

    @rule(works=st.booleans(), has_room=st.booleans())
    def change_disk(self, works: bool, has_room: bool) -> None:
        """The disk begins to fail, or to be full but for a few bytes, or works again."""
        self.disk_works, self.disk_has_room = works, has_room
        self._set_disk()

    def _set_disk(self) -> None:
        if self.spool is None:
            return

        def fails(_: object) -> None:
            raise OSError(28, "No space left on device")

        spool, journal = self.spool, self.spool.journal
        works, has_room = self.disk_works, self.disk_has_room
        spool.write = partial(Spool.write, spool) if works and has_room else fails  # type: ignore[method-assign]
        journal.mark = partial(Journal.mark, journal) if works else fails  # type: ignore[method-assign]

    # --- what holds -------------------------------------------------------------------------------

    @invariant()
    def each_is_stored_at_most_once_and_in_order(self) -> None:
        """No double, whatever happened."""
        assert self.monitor.records == sorted(set(self.monitor.records))

    @invariant()
    def counts_are_right(self) -> None:
        """Never negative; nothing in memory once everything is acknowledged."""
        if self.outbox is not None:
            assert self.outbox.count >= 0
            if self.outbox.empty:
                assert self.outbox.memory_bytes == 0

    def teardown(self) -> None:
        """When all works again, everything that was accepted is stored."""
        self.disk_works = self.disk_has_room = True
        if self.outbox is None:
            self.begin()
        assert self.outbox is not None
        self._set_disk()
        self.turn()
        self.link()
        while (entry := self.outbox.next()) is not None:
            self.monitor.take(entry.sequence, _record_of(entry.message))
            assert self.monitor.stored is not None
            self.outbox.acknowledge(self.monitor.stored)
        missing = set(range(self.trained)) - set(self.monitor.records)
        self.each_is_stored_at_most_once_and_in_order()
        assert missing <= self.excused
        assert self.outbox.empty
        self._drop()
        with suppress(OSError):
            self.home.cleanup()


def _record_of(message: bytes) -> int:
    number: int = TelemetryRequest.FromString(message).epoch_data.epoch
    return number


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
