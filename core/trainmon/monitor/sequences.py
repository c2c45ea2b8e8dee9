"""Exactly once: which of a producer's numbered records are new, and which were lost.

Pure. Numbers are contiguous from 1 per producer; a producer first seen in its middle has lost
what came before.
"""

from __future__ import annotations

from trainmon.monitor.store.base import StoreWriteError

__all__ = ["Sequences"]


class Sequences:
    """The numbers of one producer.

    Args:
        stored: The highest number in the store; None where there is none.
    """

    def __init__(self, stored: int | None = None) -> None:
        self.stored = stored
        """The highest number committed; None: none yet."""
        self.missing = 0
        """How many numbers were skipped: records that no one will ever send again."""

    def is_duplicate(self, sequence: int) -> bool:
        """Return whether a record is in the store already."""
        return self.stored is not None and sequence <= self.stored

    def is_new(self, sequence: int, joined: int = 1) -> bool:
        """Return whether records are to be stored: not where all of them are.

        Args:
            sequence: The number of the last of them.
            joined: How many there are.

        Raises:
            StoreWriteError: Some are in the store and some not, and they cannot be told apart.
                Whoever sends them has to register again, to learn which are lacking.
        """
        if self.is_duplicate(sequence):
            return False
        first = sequence - joined + 1
        if self.is_duplicate(first):
            raise StoreWriteError(
                f"one message holds the records {first} to {sequence}, of which those up to "
                f"{self.stored} are kept: register again, and send what is kept of none"
            )
        return True

    def commit(self, sequence: int, joined: int = 1) -> int:
        """Count records as stored; return how many were skipped before them.

        Args:
            sequence: The number of the last of them.
            joined: How many there are.
        """
        skipped = sequence - (self.stored or 0) - joined
        self.missing += skipped
        self.stored = sequence
        return skipped
