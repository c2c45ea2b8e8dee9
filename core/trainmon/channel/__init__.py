"""Where a training and its relay meet: shared memory with a ring each way and slots for pictures.

The training never waits for the relay. What it wrote stays readable when it dies, and what a dead
relay had not read is read by the next one.

Layout of the shared memory: control block, command ring (relay to training), record ring
(training to relay), picture slots.
"""

from __future__ import annotations

from trainmon.channel.block import BLOCK_BYTES, ControlBlock, Real, SlotState, Word
from trainmon.channel.frames import SLOT_BYTES, SLOTS, FrameSlots, SlotWriter
from trainmon.channel.hello import read_hello, write_hello
from trainmon.channel.memory import SharedMemory
from trainmon.channel.records import (
    Kind,
    StepRecord,
    encode_json,
    pack_json,
    pack_step,
    unpack,
)
from trainmon.channel.ring import Ring, RingReader, RingWriter

__all__ = [
    "EXIT_FINAL",
    "Channel",
    "ControlBlock",
    "Kind",
    "Real",
    "RelayChannel",
    "SlotState",
    "SlotWriter",
    "StepRecord",
    "TrainerChannel",
    "Word",
    "encode_json",
    "pack_json",
    "pack_step",
    "read_hello",
    "unpack",
    "write_hello",
]

#: Exit code of a relay that ended for good (all delivered, superseded, protocol refused): while its
#: training lives, a relay that ends with any other code, or by a signal, is started again.
EXIT_FINAL = 3

_COMMAND_RING_BYTES = 1 << 16
#: A ring that has its positions, and room for no record.
_NO_RING_BYTES = 136


class Channel:
    """What both ends share: block, slots, and the places of the rings.

    Args:
        memory: Mapped by both; owned from now on.
        record_bytes: Bytes of the record ring; a multiple of 4096.
    """

    records: Ring
    commands: Ring

    def __init__(self, memory: SharedMemory, record_bytes: int) -> None:
        self.memory = memory
        self.record_bytes = record_bytes
        view = memory.view
        records = BLOCK_BYTES + _COMMAND_RING_BYTES
        slots = records + record_bytes
        self.block = ControlBlock(view[:BLOCK_BYTES])
        self._command_view = view[BLOCK_BYTES:records]
        self._record_view = view[records:slots]
        self.slots = FrameSlots(view[slots:], self.block)

    def close(self) -> None:
        """Unmap and close; idempotent. An array of a slot that is still held stays mapped."""
        if self.memory.closed:
            return
        for part in (self.records, self.commands, self.slots, self.block):
            part.close()
        self.memory.close()

    @staticmethod
    def size(record_bytes: int) -> int:
        """Return the bytes of shared memory a channel takes."""
        return BLOCK_BYTES + _COMMAND_RING_BYTES + record_bytes + SLOTS * SLOT_BYTES


class TrainerChannel(Channel):
    """The training's end."""

    records: RingWriter
    commands: RingReader

    def __init__(self, memory: SharedMemory, record_bytes: int) -> None:
        super().__init__(memory, record_bytes)
        self.records = RingWriter(self._record_view)
        self.commands = RingReader(self._command_view)
        self._frame_ends = [0] * SLOTS

    @classmethod
    def create(cls, record_bytes: int) -> TrainerChannel:
        """Make a channel with ``record_bytes`` (rounded up to 4096) for records."""
        record_bytes = -(-record_bytes // 4096) * 4096
        return cls(SharedMemory.create(cls.size(record_bytes)), record_bytes)

    @classmethod
    def unshared(cls) -> TrainerChannel:
        """Make a channel without a relay, which takes nothing: no record fits, no slot is free."""
        size = BLOCK_BYTES + _COMMAND_RING_BYTES + _NO_RING_BYTES
        channel = cls(SharedMemory(-1, size), _NO_RING_BYTES)
        for slot in range(SLOTS):
            channel.slots.hand_over(slot)
        return channel

    @property
    def shared(self) -> bool:
        """Whether a relay can be given this channel."""
        return self.memory.descriptor >= 0

    def send_frame(self, slot: int, record: bytes, reserve: int) -> bool:
        """Give a written slot to the relay with the record that tells of it.

        Returns:
            False where fewer than ``reserve`` bytes of the ring would stay free; the slot is free
            again.
        """
        # The slot changes hands before the record tells of it: the relay must find it ready, and a
        # relay that reads an older record once more must not take the slot for that record's.
        self.block.words[Word.SLOT_0_SINCE + slot] = self.records.written
        self.slots.hand_over(slot)
        if not self.records.write(record, reserve):
            self.slots.free(slot)
            return False
        self._frame_ends[slot] = self.records.written
        return True

    def reclaim_slots(self) -> None:
        """Take back the slots of which a relay had read when it died, and no others.

        To be called while no relay runs: the next one reads what that one had not, and a slot
        whose record still lies in the ring must not be written meanwhile, or the record would
        describe another picture.
        """
        for slot, end in enumerate(self._frame_ends):
            if self.records.released >= end and not self.slots.is_free(slot):
                self.slots.free(slot)
                self.block.words[Word.THINNED_PICTURES] += 1


class RelayChannel(Channel):
    """The relay's end."""

    records: RingReader
    commands: RingWriter

    def __init__(self, memory: SharedMemory, record_bytes: int) -> None:
        super().__init__(memory, record_bytes)
        self.records = RingReader(self._record_view)
        self.commands = RingWriter(self._command_view)

    @classmethod
    def attach(cls, descriptor: int, record_bytes: int) -> RelayChannel:
        """Map a channel that the training made."""
        return cls(SharedMemory(descriptor, cls.size(record_bytes)), record_bytes)
