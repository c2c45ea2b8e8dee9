"""Scalars go many in a message, and wait for one another where nobody waits for them."""

from __future__ import annotations

import pytest

from trainmon.relay.entry import RecordKind
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.relay.parcels import Parcels
from trainmon.relay.spool import Spool
from trainmon.v1.telemetry_pb2 import EpochData, MetricData, MetricSeries, TelemetryRequest

LIMIT = 1 << 20


class Turned:
    """A clock that a test turns."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Turned:
    """Give a clock."""
    return Turned()


@pytest.fixture
def outbox(tmp_path):
    """Give an outbox with a spool, linked to a monitor that has nothing."""
    spool = Spool.of(tmp_path, "producer", 1 << 24)
    made = Outbox(1 << 20, LossCounter(), spool)
    made.registered(None)
    yield made
    spool.close()


@pytest.fixture
def parcels(outbox, clock):
    """Give what a monitor gets that takes records joined."""
    made = Parcels(outbox, clock)
    made.joins = True
    return made


def tell(outbox: Outbox, *steps: int, name: str = "loss", counts: list[int] | None = None) -> None:
    """Keep a record with these steps, in a turn of its own."""
    rows = [float(step) for step in steps]
    series = MetricSeries(name=name, steps=rows, times=rows, values=rows)
    if counts is not None:
        series.counts.extend(counts)
        series.minimums.extend(rows)
        series.maximums.extend(rows)
    data = MetricData(series=[series], timestamp_ms=steps[-1])
    outbox.add(RecordKind.SCALARS, TelemetryRequest(metric_data=data, timestamp_ms=steps[-1]))
    outbox.commit(0, lambda: b"{}")


def end_epoch(outbox: Outbox) -> None:
    """Keep something that is no scalar."""
    outbox.add(RecordKind.EPOCH, TelemetryRequest(epoch_data=EpochData(epoch=1)))
    outbox.commit(0, lambda: b"{}")


def sent(parcels: Parcels, limit: int = LIMIT) -> list[tuple[int, int, dict[str, list[float]]]]:
    """Return all there is to send: last number, how many records, and the steps by series."""
    found = []
    while (request := parcels.next(limit, hold_last=False)) is not None:
        steps = {each.name: list(each.steps) for each in request.metric_data.series}
        found.append((request.sequence, request.joined, steps))
    return found


def test_scalars_that_wait_behind_each_other_go_together(outbox, parcels):
    """Rows keep their order, series their rows, and the number is that of the last record."""
    tell(outbox, 0, 1)
    tell(outbox, 2, name="accuracy")
    tell(outbox, 3)
    assert sent(parcels) == [(3, 3, {"loss": [0, 1, 3], "accuracy": [2]})]
    outbox.acknowledge(3)
    assert outbox.empty


def test_a_message_tells_of_its_newest_record(outbox, parcels):
    """Its time is that of the last one in it."""
    tell(outbox, 0)
    tell(outbox, 7)
    assert parcels.next(LIMIT, hold_last=False).timestamp_ms == 7


def test_merged_rows_and_others_go_together(outbox, parcels):
    """Rows that stand for several keep what they stand for, the others stand for one each."""
    tell(outbox, 0, counts=[4])
    tell(outbox, 1)
    series = parcels.next(LIMIT, hold_last=False).metric_data.series[0]
    assert (list(series.counts), list(series.maximums)) == ([4, 1], [0, 1])


def test_what_is_of_another_kind_keeps_its_place(outbox, parcels):
    """An epoch's end comes neither before its steps nor after those of the next."""
    tell(outbox, 0)
    tell(outbox, 1)
    end_epoch(outbox)
    tell(outbox, 2)
    assert sent(parcels) == [(2, 2, {"loss": [0, 1]}), (3, 0, {}), (4, 0, {"loss": [2]})]


def test_a_message_stays_below_what_every_monitor_takes(outbox, parcels):
    """A long backlog goes in as many messages as it takes, and all of it arrives."""
    for first in range(0, 10_000, 100):
        tell(outbox, *range(first, first + 100))
    requests = []
    while (request := parcels.next(LIMIT, hold_last=False)) is not None:
        requests.append(request)
        outbox.acknowledge(request.sequence)
    assert max(request.ByteSize() for request in requests) < 64 << 10
    assert sum(max(1, request.joined) for request in requests) == 100
    assert len(requests) < 20
    steps = [step for request in requests for step in request.metric_data.series[0].steps]
    assert steps == list(range(10_000))


def test_what_is_dropped_is_not_hidden_in_a_message(outbox, parcels):
    """A record too large for this monitor leaves a gap in the numbers, which it is to see."""
    tell(outbox, 0)
    tell(outbox, *range(1, 200))
    tell(outbox, 200)
    small = 600
    told = sent(parcels, small)
    assert told == [(1, 0, {"loss": [0]}), (3, 0, {"loss": [200]})]


def test_a_monitor_that_takes_none_joined_gets_each_record(outbox, parcels):
    """As older monitors do, which would miss the numbers in between."""
    parcels.joins = False
    parcels.leisurely = True
    tell(outbox, 0)
    tell(outbox, 1)
    assert sent(parcels) == [(1, 0, {"loss": [0]}), (2, 0, {"loss": [1]})]
    tell(outbox, 2)
    assert sent(parcels) == [(3, 0, {"loss": [2]})]


def test_where_nobody_waits_scalars_go_once_a_second(outbox, parcels, clock):
    """The first at once, those after it together."""
    parcels.leisurely = True
    tell(outbox, 0)
    assert sent(parcels) == [(1, 0, {"loss": [0]})]
    for step in range(1, 6):
        clock.now_s += 0.1
        tell(outbox, step)
        assert not parcels.ready()
        assert sent(parcels) == []
    clock.now_s += 0.6
    assert parcels.ready()
    assert sent(parcels) == [(6, 5, {"loss": [1, 2, 3, 4, 5]})]


def test_what_a_second_brought_goes_at_once_in_as_many_messages_as_it_takes(outbox, parcels, clock):
    """However many series there are, a second's rows wait for no more than a second."""
    parcels.leisurely = True
    tell(outbox, 0)
    sent(parcels)
    for first in range(1, 6001, 100):  # more than two messages hold, less than is called a backlog
        tell(outbox, *range(first, first + 100))
    assert not parcels.ready()
    clock.now_s += 1
    told = sent(parcels)
    assert len(told) > 2
    assert told[-1][0] == 61
    tell(outbox, 6001)
    assert sent(parcels) == []


def test_scalars_go_at_once_when_somebody_comes(outbox, parcels):
    """Who opens the page is not to wait."""
    parcels.leisurely = True
    tell(outbox, 0)
    sent(parcels)
    tell(outbox, 1)
    assert sent(parcels) == []
    parcels.leisurely = False
    assert sent(parcels) == [(2, 0, {"loss": [1]})]


def test_what_is_no_scalar_never_waits_and_takes_along_what_does(outbox, parcels):
    """States, answers, epochs and key frames are told at once."""
    parcels.leisurely = True
    tell(outbox, 0)
    sent(parcels)
    tell(outbox, 1)
    end_epoch(outbox)
    assert sent(parcels) == [(2, 0, {"loss": [1]}), (3, 0, {})]
    tell(outbox, 2)
    assert sent(parcels) == []


def test_what_a_lost_link_had_carried_is_sent_again_at_once_where_it_was_no_scalar(outbox, parcels):
    """Sent is not stored: a state that comes again is as urgent as before."""
    parcels.leisurely = True
    end_epoch(outbox)
    assert [number for number, *_ in sent(parcels)] == [1]
    outbox.registered(None)
    assert [number for number, *_ in sent(parcels)] == [1]


def test_a_backlog_does_not_wait(outbox, parcels):
    """Much of it goes as fast as it can, whoever looks."""
    parcels.leisurely = True
    tell(outbox, 0)
    sent(parcels)
    for first in range(0, 20_000, 100):
        tell(outbox, *range(first, first + 100))
    assert parcels.ready()


def test_what_is_not_on_disk_does_not_wait():
    """Where no spool works, what waits would be lost with the relay."""
    outbox = Outbox(1 << 20, LossCounter())
    outbox.registered(None)
    parcels = Parcels(outbox, Turned())
    parcels.joins = parcels.leisurely = True
    for step in range(3):
        tell(outbox, step)
        assert sent(parcels) == [(step + 1, 0, {"loss": [step]})]


def test_the_last_state_waits_where_it_is_told_to(outbox, parcels):
    """A picture that is still to go would come after the end."""
    outbox.add(RecordKind.STATUS, TelemetryRequest(timestamp_ms=1), last=True)
    outbox.commit(0, lambda: b"{}")
    assert parcels.next(LIMIT, hold_last=True) is None
    assert parcels.next(LIMIT, hold_last=False) is not None
