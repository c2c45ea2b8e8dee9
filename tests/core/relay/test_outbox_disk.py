"""What an outbox tells survives its relay, and a disk that fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from records import commit, epoch, epochs, key_frame, scalars, sent
from trainmon.relay.entry import RecordKind
from trainmon.relay.outbox import Outbox
from trainmon.relay.spool import Frame, Spool


class FailingSpool(Spool):
    """A spool whose disk fails while a test says so."""

    fails = for_marks = False
    """Whether it does; whether it has room for marks all the same."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        super().__init__(folder, limit_bytes)
        journal, write, mark = self.journal, self.journal.write, self.journal.mark
        journal.write = partial(self._do, write)  # type: ignore[method-assign] # the disk's part
        journal.mark = partial(self._do, mark, is_mark=True)  # type: ignore[method-assign] # as above

    def _do(self, write: Callable[[Frame], None], frame: Frame, *, is_mark: bool = False) -> None:
        if self.fails and not (is_mark and self.for_marks):
            raise OSError(28, "No space left on device")
        write(frame)


@pytest.fixture
def follow(tmp_path, losses):
    """Give a function that starts a relay's outbox where the last one was killed."""
    opened: list[FailingSpool] = []

    def start(limit_bytes: int = 1 << 20) -> tuple[Outbox, FailingSpool]:
        if opened:
            opened[-1].close()
        opened.append(FailingSpool(tmp_path / "spool" / "producer", limit_bytes))
        return Outbox(1 << 16, losses, opened[-1]), opened[-1]

    yield start
    opened[-1].close()


def test_a_relay_that_follows_sends_what_was_not_stored_and_gives_new_numbers(follow):
    """Also what was sent before, under the same sequence; its own come after."""
    first, _ = follow()
    first.registered(None)
    epochs(first, 0, 1, 2)
    assert [first.next().sequence for _ in range(2)] == [1, 2]
    second, _ = follow()
    epochs(second, 3)
    second.registered(1)
    found = [(sequence, request.epoch_data.epoch) for sequence, request in sent(second)]
    assert found == [(2, 1), (3, 2), (4, 3)]


def two_in_memory_alone(follow) -> None:
    """Run a relay whose disk fails after a record: of the three that it sent one is on disk."""
    relay, disk = follow()
    relay.registered(None)
    epochs(relay, 0)
    disk.fails = True
    epochs(relay, 1, 2)
    assert [sequence for sequence, _ in sent(relay)] == [1, 2, 3]


def test_sequences_that_only_a_monitor_knows_are_never_given_again(follow):
    """What a relay sent while its disk failed is stored; all later relays number behind it."""
    two_in_memory_alone(follow)
    second, _ = follow()
    epochs(second, 3)
    second.registered(3)
    third, _ = follow()  # killed before it had sent anything
    third.registered(3)
    epochs(third, 4)
    found = [(sequence, request.epoch_data.epoch) for sequence, request in sent(third)]
    assert found == [(4, 3), (5, 4)]


def test_what_a_relay_wrote_that_never_registered_is_no_record_the_monitor_has(follow):
    """Of one number are a record that only the monitor has, and one that is only on disk."""
    two_in_memory_alone(follow)
    for number in (3, 4):  # killed before they were linked
        epochs(follow()[0], number)
    last, _ = follow()
    last.registered(3)
    found = [(sequence, request.epoch_data.epoch) for sequence, request in sent(last)]
    assert found == [(4, 3), (5, 4)]


def test_a_record_on_disk_is_not_sent_while_the_disk_cannot_tell_its_number(follow):
    """Else a relay that follows would take it for one of those that only the monitor has."""
    first, disk = follow()
    disk.fails = True
    first.registered(None)
    epochs(first, 0, 1)
    assert [sequence for sequence, _ in sent(first)] == [1, 2]
    second, disk = follow()
    epochs(second, 2, 3)
    disk.fails = True
    second.registered(2)
    assert second.next() is None
    assert second.failing
    disk.fails = False
    second._tell_again_s = float("inf")
    assert second.next() is None  # a disk is not tried again at once
    second._tell_again_s = 0.0
    assert second.next().sequence == 3
    assert not second.failing
    third, _ = follow()  # killed after the first of two had arrived
    third.registered(3)
    found = [(sequence, request.epoch_data.epoch) for sequence, request in sent(third)]
    assert found == [(4, 3)]


def test_on_a_full_disk_there_may_be_room_to_tell_a_number(follow):
    """Whatever waits for more room, each second anew, does not keep it from being told."""
    first, disk = follow()
    epochs(first, 0)
    disk.fails = disk.for_marks = True
    epochs(first, 1)
    first.registered(None)
    assert [request.epoch_data.epoch for _, request in sent(first)] == [0, 1]
    assert first.unwritten == 0
    second, _ = follow()
    second.registered(2)
    epochs(second, 2)
    found = [(sequence, request.epoch_data.epoch) for sequence, request in sent(second)]
    assert found == [(3, 2)]


def test_a_monitor_with_an_empty_store_gets_what_is_still_on_disk(follow):
    """The count is of what there is, not of what was deleted long ago."""
    outbox, _ = follow(1 << 18)
    outbox.registered(None)
    for number in range(200):
        outbox.add(RecordKind.KEY_FRAME, key_frame(number, 500))
        commit(outbox)
        if number == 150:
            sent(outbox)
    waiting = outbox.count
    outbox.registered(None)
    assert waiting <= outbox.count < 100
    found = sent(outbox)
    assert found[-1][0] == 200
    assert outbox.empty


def test_while_the_disk_fails_records_go_by_memory_and_later_to_disk(follow):
    """With the link up nothing is lost; without it they wait, and are written once they can be."""
    outbox, disk = follow()
    outbox.registered(None)
    epochs(outbox, 0)
    disk.fails = True
    epochs(outbox, 1, 2)
    assert outbox.failing
    assert [request.epoch_data.epoch for _, request in sent(outbox)] == [0, 1, 2]
    epochs(outbox, 3)
    disk.fails = False
    outbox._retry_s = 0.0
    epochs(outbox, 4)
    assert not outbox.failing
    assert outbox.unwritten == 0
    again, _ = follow()
    again.registered(3)
    assert [request.epoch_data.epoch for _, request in sent(again)] == [3, 4]


def test_a_disk_that_fails_is_told_of_once_and_bounds_memory(tmp_path, losses):
    """What memory cannot take is refused in the same order, and counted."""
    told = []
    disk = FailingSpool(tmp_path / "spool" / "producer", 1 << 20)
    outbox = Outbox(1 << 16, losses, disk, told.append)
    disk.fails = True
    for number in range(100):
        outbox.add(RecordKind.KEY_FRAME, key_frame(number, 1000))
        outbox.add(RecordKind.SCALARS, scalars(number * 100))
        outbox.add(RecordKind.EPOCH, epoch(number))
        outbox._retry_s = 0.0
        commit(outbox)
    assert len(told) == 1
    assert outbox.memory_bytes <= (1 << 16) + (5 << 20)
    assert losses.count("key_frame", "queue_full") > 50
    assert losses.count("scalars", "queue_full") > 0
    assert outbox._unwritten_bytes <= 1 << 16
    disk.close()


def test_an_outbox_takes_up_a_spool_that_could_not_be_opened_at_first(tmp_path, losses):
    """What waits in memory is written to it."""
    outbox = Outbox(1 << 20, losses)
    outbox.registered(None)
    epochs(outbox, 0, 1)
    spool = Spool.of(tmp_path, "producer", 1 << 20)
    outbox.adopt(spool)
    epochs(outbox, 2)
    assert spool.journal.last == 3
    assert [request.epoch_data.epoch for _, request in sent(outbox)] == [0, 1, 2]
    assert outbox.empty
    spool.close()
