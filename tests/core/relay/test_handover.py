"""What a relay leaves to the next one: the epochs, the end, the counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.channel import StepRecord
from trainmon.relay.epochs import EpochMarks, Epochs, convergence
from trainmon.relay.handover import Handover
from trainmon.relay.losses import LossCounter
from trainmon.v1.telemetry_pb2 import EpochData

losses = st.floats(0.01, 10) | st.sampled_from([math.nan, math.inf])


def step(epoch: int, batch: int, loss: float | None) -> StepRecord:
    """Return the end of a batch."""
    return StepRecord(global_step=batch, epoch=epoch, batch_index=batch, time_ms=0.0, loss=loss)


@given(st.lists(st.tuples(losses, st.booleans()), max_size=30))
def test_an_epoch_is_judged_as_if_one_relay_had_seen_them_all(told):
    """However many there were, and whichever relay followed which, the judgement is the same."""
    epochs, seen = Epochs(), []
    for number, (loss, relieved) in enumerate(told):
        if relieved:
            left = Handover.unpack(Handover(epochs.marks()).pack()).epochs
            epochs = Epochs()
            epochs.restore(left)
        data = EpochData(epoch=number, average_loss=loss)
        epochs.judge(data)
        seen.append(loss)
        assert data.convergence_status == convergence(seen)
    assert len(epochs.marks().training) <= 6


@given(st.lists(losses, min_size=1, max_size=30), st.integers(0, 30))
def test_a_mean_is_the_same_whoever_counted(values, relieved):
    """A relay that follows in the middle of an epoch adds to the sum it was left."""
    epochs = Epochs()
    for batch, loss in enumerate(values):
        if batch == relieved:
            left = Handover.unpack(Handover(epochs.marks()).pack()).epochs
            epochs = Epochs(late=True)
            epochs.restore(left)
        epochs.step(step(3, batch, loss))
    assert str(epochs.mean_loss(3)) == str(sum(values) / len(values))


@pytest.mark.parametrize(("first_batch", "known"), [(0, True), (5, False)])
def test_a_relay_that_was_left_nothing_makes_up_no_mean(first_batch, known):
    """Unless it sees an epoch from its first batch on; of the next it is sure."""
    epochs = Epochs(late=True)
    for batch in range(first_batch, 10):
        epochs.step(step(0, batch, 1.0))
    assert (epochs.mean_loss(0) is not None) == known
    epochs.step(step(1, 10, 2.0))
    assert epochs.mean_loss(1) == 2.0


def test_end_and_counts_come_back():
    """What was counted is counted on."""
    counter = LossCounter()
    counter.add("scalars", "merged", 7)
    left = Handover.unpack(Handover(EpochMarks(), True, counter.saved()).pack())
    assert left.over
    again = LossCounter()
    again.restore(left.losses)
    again.add("scalars", "merged")
    assert again.count("scalars", "merged") == 8


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"epochs":[1]}', b'{"epochs":7}'])
def test_what_cannot_be_read_is_lost_and_nothing_else(data):
    """Of another version, or damaged: the relay begins anew."""
    assert Handover.unpack(data) == Handover()
