"""What must arrive is kept, numbered and, under pressure, thinned in the right order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.channel import TrainerChannel
from trainmon.relay.backlog import RecordKind
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.v1.control_pb2 import CommandResult
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    EpochData,
    ImageData,
    MetricData,
    MetricSeries,
    StatusUpdate,
    TelemetryRequest,
)


@pytest.fixture
def losses():
    """Give a counter over a channel of its own."""
    channel = TrainerChannel.create(4096)
    yield LossCounter(channel.block)
    channel.memory.close()


def scalars(first: int, rows: int = 100) -> TelemetryRequest:
    """Return rows from a step on, each with its step as value."""
    steps = [float(step) for step in range(first, first + rows)]
    series = MetricSeries(name="loss", steps=steps, times=steps, values=steps)
    return TelemetryRequest(metric_data=MetricData(series=[series]))


def epoch(number: int) -> TelemetryRequest:
    """Return the end of an epoch."""
    return TelemetryRequest(epoch_data=EpochData(epoch=number))


def key_frame(step: int, size: int = 5000) -> TelemetryRequest:
    """Return a key frame of so many bytes."""
    images = [ImageData(image_bytes=bytes(size))]
    return TelemetryRequest(batch_data=BatchData(global_step=step, images=images))


def sent(outbox: Outbox) -> list[tuple[int, TelemetryRequest]]:
    """Return all there is to send, with the sequences, acknowledging as it goes."""
    found = []
    while (entry := outbox.next()) is not None:
        found.append((entry.sequence, TelemetryRequest.FromString(entry.message)))
        outbox.acknowledge(entry.sequence)
    return found


def test_sequences_are_contiguous_from_one(losses):
    """Whatever is refused or merged before, the monitor sees no gap."""
    outbox = Outbox(1 << 20, losses)
    outbox.registered(None)
    for number in range(5):
        outbox.add(RecordKind.EPOCH, epoch(number))
    assert [sequence for sequence, _ in sent(outbox)] == [1, 2, 3, 4, 5]
    assert outbox.empty
    assert outbox.bytes == 0


def test_a_relay_that_follows_another_goes_on_where_the_store_ends(losses):
    """The number after the stored one is the first."""
    outbox = Outbox(1 << 20, losses)
    outbox.add(RecordKind.EPOCH, epoch(0))
    outbox.registered(41)
    assert outbox.next().sequence == 42


def test_what_was_sent_and_not_stored_is_sent_again_under_its_number(losses):
    """After a reconnection the monitor says what it has; the rest comes again, unchanged."""
    outbox = Outbox(1 << 20, losses)
    outbox.registered(None)
    for number in range(4):
        outbox.add(RecordKind.EPOCH, epoch(number))
    first = [outbox.next() for _ in range(3)]
    outbox.registered(1)
    again = [outbox.next() for _ in range(3)]
    assert again[:2] == first[1:]
    assert [entry.sequence for entry in again] == [2, 3, 4]


def test_a_monitor_that_lost_its_memory_gets_what_is_retained(losses):
    """Numbers go on; what it had acknowledged before is gone, which it records as a gap."""
    outbox = Outbox(1 << 20, losses)
    outbox.registered(None)
    for number in range(4):
        outbox.add(RecordKind.EPOCH, epoch(number))
    for _ in range(3):
        outbox.next()
    outbox.acknowledge(2)
    outbox.registered(None)
    assert [outbox.next().sequence for _ in range(2)] == [3, 4]


def test_results_overtake_what_was_not_sent(losses):
    """Whoever sent a command does not wait for a backlog."""
    outbox = Outbox(1 << 20, losses)
    outbox.registered(None)
    for number in range(3):
        outbox.add(RecordKind.EPOCH, epoch(number))
    result = TelemetryRequest(command_result=CommandResult(command_id="c"))
    outbox.add(RecordKind.RESULT, result)
    assert sent(outbox)[0][1].command_result.command_id == "c"


def test_no_more_than_a_megabyte_is_under_way(losses):
    """Only what has a number cannot be thinned; so little of it waits for acknowledgment."""
    outbox = Outbox(16 << 20, losses)
    outbox.registered(None)
    for step in range(10):
        outbox.add(RecordKind.KEY_FRAME, key_frame(step, 400_000))
    under_way = []
    while (entry := outbox.next()) is not None:
        under_way.append(entry)
    assert len(under_way) == 3
    outbox.acknowledge(under_way[0].sequence)
    assert outbox.next() is not None


def test_key_frames_go_first_then_scalars_merge_and_nothing_else_is_lost(losses):
    """With the monitor away, the limit holds; every epoch and state is there in the end."""
    limit = 200_000
    outbox = Outbox(limit, losses)
    rows = 0
    for number in range(300):
        assert outbox.add(RecordKind.SCALARS, scalars(rows))
        rows += 100
        outbox.add(RecordKind.KEY_FRAME, key_frame(rows))
        if number % 10 == 0:
            assert outbox.add(RecordKind.EPOCH, epoch(number))
        assert outbox.bytes <= limit
        if losses.count("scalars", "merged"):
            assert losses.count("key_frame", "queue_full")
    status = TelemetryRequest(status_update=StatusUpdate(message="over"))
    assert outbox.add(RecordKind.STATUS, status, last=True)
    outbox.registered(None)
    found = [request for _, request in sent(outbox)]
    assert [each.epoch_data.epoch for each in found if each.HasField("epoch_data")] == [
        *range(0, 300, 10)
    ]
    assert found[-1].status_update.message == "over"
    series = [each.metric_data.series[0] for each in found if each.HasField("metric_data")]
    kept = sum(len(each.steps) for each in series)
    counted = sum(sum(each.counts) or len(each.steps) for each in series)
    assert counted == rows
    assert losses.count("scalars", "merged") == rows - kept
    assert min(min(each.minimums or each.values) for each in series) == 0
    assert max(max(each.maximums or each.values) for each in series) == rows - 1
    steps = [step for each in series for step in each.steps]
    assert steps == sorted(steps)


def test_all_of_the_past_thins_evenly(losses):
    """No stretch of a long outage is left with far fewer rows than another."""
    outbox = Outbox(150_000, losses)
    for index in range(400):
        outbox.add(RecordKind.SCALARS, scalars(index * 100))
    outbox.registered(None)
    steps = [step for _, request in sent(outbox) for step in request.metric_data.series[0].steps]
    starts = range(0, 40_000, 10_000)
    quarters = [sum(start <= step < start + 10_000 for step in steps) for start in starts]
    assert min(quarters) * 4 >= max(quarters)


def test_beyond_the_reserved_room_even_an_epoch_is_refused_and_counted(losses):
    """Nothing is without a bound; what is new is refused, what was accepted stays."""
    outbox = Outbox(1 << 16, losses)
    taken = [number for number in range(1000) if outbox.add(RecordKind.EPOCH, epoch(number))]
    assert taken == list(range(len(taken)))
    assert losses.count("epoch", "queue_full") == 1000 - len(taken)
    outbox.registered(None)
    assert len(sent(outbox)) == len(taken)


def test_epochs_have_room_that_scalars_cannot_take(losses):
    """However many rows came before, an epoch fits."""
    outbox = Outbox(1 << 16, losses)
    for index in range(50):
        outbox.add(RecordKind.SCALARS, scalars(index * 100))
    assert all(outbox.add(RecordKind.EPOCH, epoch(number)) for number in range(20))


def test_a_record_larger_than_the_room_is_refused(losses):
    """It is counted and harms nothing else."""
    outbox = Outbox(1 << 16, losses)
    outbox.add(RecordKind.EPOCH, epoch(0))
    assert outbox.add(RecordKind.KEY_FRAME, key_frame(0, 1 << 17)) is None
    assert losses.count("key_frame", "queue_full") == 1
    assert outbox.count == 1


def test_what_is_dropped_before_it_is_sent_leaves_no_gap(losses):
    """A record too large for the monitor goes before it has a number."""
    outbox = Outbox(1 << 20, losses)
    outbox.registered(None)
    outbox.add(RecordKind.KEY_FRAME, key_frame(1))
    outbox.add(RecordKind.EPOCH, epoch(7))
    outbox.drop_next("message_too_large")
    assert losses.count("key_frame", "message_too_large") == 1
    [(sequence, request)] = sent(outbox)
    assert (sequence, request.epoch_data.epoch) == (1, 7)


@given(st.lists(st.sampled_from(["scalars", "epoch", "key", "send", "store", "link"]), max_size=80))
def test_whatever_happens_the_bytes_are_right_and_the_numbers_contiguous(events):
    """Of any course of adding, sending, storing and reconnecting, under pressure."""
    channel = TrainerChannel.create(4096)
    losses = LossCounter(channel.block)
    outbox = Outbox(30_000, losses)
    outbox.registered(None)
    sequences, step, stored = [], 0, 0
    for event in events:
        step += 40
        if event == "scalars":
            outbox.add(RecordKind.SCALARS, scalars(step, 40))
        elif event == "epoch":
            outbox.add(RecordKind.EPOCH, epoch(step))
        elif event == "key":
            outbox.add(RecordKind.KEY_FRAME, key_frame(step, 3000))
        elif event == "link":
            outbox.registered(stored)
        elif event == "store" and sequences:
            stored = max(sequences)
            outbox.acknowledge(stored)
        elif event == "send" and (entry := outbox.next()) is not None:
            sequences.append(entry.sequence)
    outbox.registered(stored)
    sequences += [sequence for sequence, _ in sent(outbox)]
    assert sorted(set(sequences)) == list(range(1, len(set(sequences)) + 1))
    assert outbox.empty
    assert outbox.bytes == 0
    channel.memory.close()


def test_a_session_that_is_over_takes_nothing_more(losses):
    """Everything that is there and that comes is counted as lost for that reason."""
    outbox = Outbox(1 << 20, losses)
    outbox.add(RecordKind.SCALARS, scalars(0, 7))
    outbox.close()
    assert outbox.empty
    assert outbox.add(RecordKind.EPOCH, epoch(0)) is None
    assert losses.count("scalars", "session_over") == 7
    assert losses.count("epoch", "session_over") == 1
