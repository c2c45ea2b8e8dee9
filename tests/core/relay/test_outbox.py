"""What must arrive is kept, numbered, refused in the right order, and sent until it is stored."""

from __future__ import annotations

import pytest

from records import commit, epoch, epochs, key_frame, scalars, sent
from trainmon.relay.entry import RecordKind
from trainmon.relay.outbox import Outbox
from trainmon.relay.spool import Spool
from trainmon.v1.control_pb2 import CommandResult
from trainmon.v1.telemetry_pb2 import StatusUpdate, TelemetryRequest


@pytest.fixture(params=["disk", "memory"])
def outbox(request, tmp_path, losses):
    """Give an outbox of 1 MiB that writes to a spool, and one that has none."""
    spool = Spool.of(tmp_path, "producer", 1 << 20) if request.param == "disk" else None
    yield Outbox(1 << 20, losses, spool)
    if spool is not None:
        spool.close()


@pytest.fixture
def small(tmp_path, losses):
    """Give an outbox whose spool takes 256 KiB."""
    spool = Spool.of(tmp_path, "producer", 1 << 18)
    yield Outbox(1 << 16, losses, spool)
    spool.close()


def test_sequences_are_contiguous_from_one(outbox):
    """Whatever is refused before, the monitor sees no gap."""
    outbox.registered(None)
    outbox.add(RecordKind.KEY_FRAME, key_frame(1, 1 << 21))
    epochs(outbox, *range(5))
    assert [sequence for sequence, _ in sent(outbox)] == [1, 2, 3, 4, 5]
    assert outbox.empty
    assert outbox.memory_bytes == 0


def test_nothing_is_sent_before_it_is_written(outbox):
    """What the monitor has stored is on disk too, or the next relay would give its number again."""
    outbox.registered(None)
    outbox.add(RecordKind.EPOCH, epoch(0))
    assert outbox.next() is None
    assert not outbox.empty
    commit(outbox)
    assert outbox.next().sequence == 1


def test_a_relay_whose_records_are_stored_elsewhere_goes_on_where_the_store_ends(outbox):
    """An earlier relay that could not write its spool has sent more than is known here."""
    epochs(outbox, 0)
    outbox.registered(41)
    epochs(outbox, 1)
    assert [outbox.next().sequence for _ in range(2)] == [42, 43]


def test_what_was_sent_and_not_stored_is_sent_again_under_its_number(outbox):
    """After a reconnection the monitor says what it has; the rest comes again, unchanged."""
    outbox.registered(None)
    epochs(outbox, *range(4))
    first = [outbox.next().message for _ in range(3)]
    outbox.registered(1)
    again = [outbox.next() for _ in range(3)]
    assert [entry.message for entry in again[:2]] == first[1:]
    assert [entry.sequence for entry in again] == [2, 3, 4]


def test_a_monitor_that_lost_its_memory_gets_what_is_retained(outbox):
    """Numbers go on; what is gone here too it records as a gap."""
    outbox.registered(None)
    epochs(outbox, *range(4))
    for _ in range(3):
        outbox.next()
    outbox.acknowledge(2)
    outbox.registered(None)
    sequences = [sequence for sequence, _ in sent(outbox)]
    assert sequences in ([3, 4], [1, 2, 3, 4])  # a spool may still have what was acknowledged


def test_a_result_keeps_its_place(outbox):
    """Records are acknowledged up to a number: one that overtook would make others look lost."""
    outbox.registered(None)
    outbox.add(RecordKind.EPOCH, epoch(0))
    result = TelemetryRequest(command_result=CommandResult(command_id="c"))
    outbox.add(RecordKind.RESULT, result)
    commit(outbox)
    kinds = [request.WhichOneof("payload") for _, request in sent(outbox)]
    assert kinds == ["epoch_data", "command_result"]


def test_no_more_than_a_megabyte_is_under_way(tmp_path, losses):
    """The rest waits on disk, and comes in order; memory holds a window of it."""
    spool = Spool.of(tmp_path, "producer", 1 << 26)
    outbox = Outbox(1 << 20, losses, spool)
    outbox.registered(None)
    for step in range(40):
        outbox.add(RecordKind.KEY_FRAME, key_frame(step, 400_000))
        commit(outbox)
    assert outbox.lagging
    under_way = []
    while (entry := outbox.next()) is not None:
        under_way.append(entry)
    assert len(under_way) == 3
    assert outbox.memory_bytes < 6 << 20
    outbox.acknowledge(under_way[1].sequence)
    rest = [request.batch_data.global_step for _, request in sent(outbox)]
    assert rest == list(range(3, 40))
    assert outbox.empty
    assert not outbox.lagging
    assert outbox.size_bytes < 5 << 20  # one segment stays
    spool.close()


def test_key_frames_go_first_then_scalars_then_the_rest(small, losses):
    """With the monitor away, the limit holds; every epoch and state is there in the end."""
    rows = first_refused = 0
    for number in range(300):
        small.add(RecordKind.KEY_FRAME, key_frame(number, 3000))
        if small.add(RecordKind.SCALARS, scalars(rows)) and not first_refused:
            rows += 100
        else:
            first_refused = first_refused or number
        if number % 10 == 0:
            assert small.add(RecordKind.EPOCH, epoch(number))
        commit(small)
        assert small.size_bytes <= 1 << 18
        if losses.count("scalars", "queue_full"):
            assert losses.count("key_frame", "queue_full")
    assert first_refused
    status = TelemetryRequest(status_update=StatusUpdate(message="over"))
    assert small.add(RecordKind.STATUS, status, last=True)
    commit(small)
    small.registered(None)
    found = [request for _, request in sent(small)]
    assert [each.epoch_data.epoch for each in found if each.HasField("epoch_data")] == [
        *range(0, 300, 10)
    ]
    assert found[-1].status_update.message == "over"
    series = [each.metric_data.series[0] for each in found if each.HasField("metric_data")]
    assert [step for each in series for step in each.steps] == [*map(float, range(rows))]
    assert losses.count("scalars", "queue_full") == 100 * (300 - len(series))
    frames = sum(each.HasField("batch_data") for each in found)
    assert losses.count("key_frame", "queue_full") == 300 - frames


def test_rows_are_to_be_merged_the_more_the_less_room_is_left(small):
    """None while there is plenty; each half of what is left asks for one more halving."""
    asked = [small.halvings]
    for number in range(300):
        small.add(RecordKind.SCALARS, scalars(number * 100))
        commit(small)
        asked.append(small.halvings)
    assert asked == sorted(asked)
    assert asked[:50] == [0] * 50
    assert set(range(4)) <= set(asked)


def test_beyond_the_reserved_room_even_an_epoch_is_refused_and_counted(outbox, losses):
    """Nothing is without a bound; what is new is refused, what was accepted stays."""
    request = TelemetryRequest(status_update=StatusUpdate(message="x" * 1000))
    taken = 0
    for _ in range(2000):
        taken += outbox.add(RecordKind.STATUS, request) is not None
        commit(outbox)
    assert losses.count("status", "queue_full") == 2000 - taken > 0
    outbox.registered(None)
    assert len(sent(outbox)) == taken


def test_a_record_larger_than_the_room_is_refused(outbox, losses):
    """It is counted and harms nothing else."""
    epochs(outbox, 0)
    assert outbox.add(RecordKind.KEY_FRAME, key_frame(0, 1 << 21)) is None
    assert losses.count("key_frame", "queue_full") == 1
    assert outbox.count == 1


def test_what_is_too_large_for_the_monitor_is_counted_once(outbox, losses):
    """Its number is missing, which the monitor sees; a reconnection counts nothing twice."""
    outbox.registered(None)
    outbox.add(RecordKind.KEY_FRAME, key_frame(1))
    outbox.add(RecordKind.EPOCH, epoch(7))
    commit(outbox)
    for _ in range(2):
        outbox.peek()
        outbox.drop_next("message_too_large")
        outbox.registered(None)
    outbox.peek()
    outbox.drop_next("message_too_large")
    [(sequence, request)] = sent(outbox)
    assert (sequence, request.epoch_data.epoch) == (2, 7)
    assert losses.count("key_frame", "message_too_large") == 1
    assert outbox.empty


def test_what_is_too_large_and_the_last_leaves_nothing_waiting(outbox, losses):
    """No acknowledgment will ever come for it."""
    outbox.registered(None)
    outbox.add(RecordKind.KEY_FRAME, key_frame(1))
    commit(outbox)
    outbox.peek()
    outbox.drop_next("message_too_large")
    assert outbox.empty


def test_a_session_that_is_over_takes_nothing_more(losses):
    """What is in memory alone, and what comes, is counted as lost for that reason."""
    outbox = Outbox(1 << 20, losses)
    outbox.add(RecordKind.SCALARS, scalars(0, 7))
    outbox.close()
    assert outbox.empty
    assert outbox.add(RecordKind.EPOCH, epoch(0)) is None
    assert losses.count("scalars", "session_over") == 7
    assert losses.count("epoch", "session_over") == 1


def test_a_session_that_is_over_loses_nothing_that_is_on_disk(tmp_path, losses):
    """It stays there, and is counted by whoever tells of it."""
    spool = Spool.of(tmp_path, "producer", 1 << 20)
    outbox = Outbox(1 << 20, losses, spool)
    epochs(outbox, 0, 1)
    outbox.close()
    assert outbox.count == 2
    assert losses.messages() == []
    spool.close()


def test_acknowledgments_of_what_was_never_sent_change_nothing(outbox):
    """Far too great ones, before anything was sent, or again."""
    outbox.registered(None)
    outbox.acknowledge(1 << 63)
    epochs(outbox, 0, 1, 2)
    outbox.acknowledge(1 << 63)
    assert outbox.count == 3
    assert outbox.next().sequence == 1
    outbox.acknowledge(1 << 63)
    outbox.acknowledge(0)
    assert [sequence for sequence, _ in sent(outbox)] == [2, 3]
