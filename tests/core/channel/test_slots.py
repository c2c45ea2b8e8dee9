"""Picture slots: whose turn it is, also when a relay dies with some in hand."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from trainmon.channel import Kind, RelayChannel, SlotState, TrainerChannel, Word, pack_json


@pytest.fixture
def trainer() -> Iterator[TrainerChannel]:
    """The training's end of a channel."""
    channel = TrainerChannel.create(1 << 16)
    yield channel
    channel.close()


@pytest.fixture
def relay(trainer: TrainerChannel) -> Iterator[RelayChannel]:
    """The end of a relay that dies where the test says so."""
    channel = RelayChannel.attach(os.dup(trainer.memory.descriptor), trainer.record_bytes)
    yield channel
    channel.close()


def send(trainer: TrainerChannel, slot: int) -> None:
    """Send a frame."""
    assert trainer.send_frame(slot, pack_json(Kind.FRAME, {"slot": slot}), 0)


def states(trainer: TrainerChannel) -> list[int]:
    """Return whose turn it is with each slot."""
    return [trainer.block.words[Word.SLOT_0 + slot] for slot in range(3)]


FREE, READY = SlotState.FREE, SlotState.READY


def test_only_what_a_dead_relay_had_read_is_taken_back(trainer, relay) -> None:
    """A slot whose record the next relay will read is not written before it has been."""
    send(trainer, 0)
    assert relay.records.read() is not None
    relay.records.release()
    send(trainer, 1)
    assert relay.records.read() is not None  # and not released: the next relay reads it again
    send(trainer, 2)
    trainer.reclaim_slots()
    assert states(trainer) == [FREE, READY, READY]


def test_a_slot_that_is_being_filled_stays_so(trainer, relay) -> None:
    """What the training gathers when a relay dies goes to the next one, and is not lent twice."""
    slot = trainer.slots.free_slot()
    assert slot == 0
    trainer.reclaim_slots()
    send(trainer, slot)
    trainer.reclaim_slots()
    assert states(trainer) == [READY, FREE, FREE]


def test_a_full_ring_costs_no_slot(trainer) -> None:
    """A frame that the ring has no room for leaves its slot free."""
    assert not trainer.send_frame(0, b"x", trainer.records.capacity)
    assert states(trainer) == [FREE, FREE, FREE]


def test_a_closed_channel_is_unmapped(trainer) -> None:
    """Nothing of a closed channel stays mapped or open, and to close it twice is harmless."""
    descriptor = trainer.memory.descriptor
    trainer.close()
    trainer.close()
    assert trainer.memory._map.closed
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)
