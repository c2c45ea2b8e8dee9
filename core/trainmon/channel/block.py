"""The control block: single numbers that one end writes and the other reads at any time.

Each field is one aligned 8-byte word, so a reader sees the old value or the new one, never half
of each. Every field has exactly one writer.
"""

from __future__ import annotations

from enum import IntEnum, auto

__all__ = ["BLOCK_BYTES", "ControlBlock", "Real", "SlotState", "Word"]

BLOCK_BYTES = 512


class Word(IntEnum):
    """Fields that hold an unsigned whole number."""

    # written by the training
    STEPS = 0
    """Batches ended so far."""
    LAST_STEP_NS = auto()
    """When the newest ended, ``time.monotonic_ns()``; 0: none has."""
    CAPTURE_NS = auto()
    """Time the training thread has spent in trainmon, in ns."""
    REFUSED_SCALARS = auto()
    """Step records refused because the ring was full."""
    REFUSED_EVENTS = auto()
    """Epochs, states and results refused because the ring was full."""
    THINNED_PICTURES = auto()
    """Pictures that were due while no slot was free."""
    ADAPTER_FAILURES = auto()
    """Exceptions caught at the adapter's or the capture's door."""
    BYTES_COPIED = auto()
    """Bytes of pictures copied so far."""
    PAUSED = auto()
    """1 while the training waits at a control point."""
    # written by the relay
    COMMANDS = auto()
    """Commands put into the command ring so far."""
    TILE_SIZE = auto()
    """Edge of a tile in pixels that viewers want."""
    MAX_IMAGES = auto()
    """Samples a picture holds at most."""
    LINK_LOST_NS = auto()
    """Since when the link to the monitor is lost, ``time.monotonic_ns()``; 0: it stands."""
    RELAY_ALIVE_NS = auto()
    """When the relay last looked, ``time.monotonic_ns()``."""
    DELIVERED = auto()
    """1 once everything the training handed over before CLOSE is acknowledged."""
    # written by both, in turn
    SLOT_0 = auto()
    """State of each picture slot; see :class:`SlotState`."""
    SLOT_1 = auto()
    SLOT_2 = auto()
    # written by the training
    SLOT_0_SINCE = auto()
    """Records that begin before this position of the record ring tell of what was there before."""
    SLOT_1_SINCE = auto()
    SLOT_2_SINCE = auto()
    # written by the relay
    RELAY_REFUSED = auto()
    """Records that were handed over and then found no room, or could not be kept."""
    RELAY_MERGED = auto()
    """Rows of scalars that were merged into others for want of room."""
    KEY_TILE_SIZE = auto()
    """Edge of a tile in pixels of pictures for the history, whatever budget or link can do."""


class Real(IntEnum):
    """Fields that hold a real number; they lie behind the words."""

    FRAMES_PER_SECOND = 40
    """Pictures per second that viewers want, written by the relay; 0: nobody watches."""


class SlotState(IntEnum):
    """Whose turn it is with a picture slot."""

    FREE = 0
    """The training may write."""
    READY = 1
    """The relay may read, and then frees it."""


class ControlBlock:
    """Typed access to the block.

    Args:
        view: 512 shared bytes.
    """

    def __init__(self, view: memoryview) -> None:
        self.words = view.cast("Q")
        self.reals = view.cast("d")

    def close(self) -> None:
        """Let go of the shared bytes."""
        self.words.release()
        self.reals.release()
