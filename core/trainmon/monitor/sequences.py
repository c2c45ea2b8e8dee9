"""Exactly once: which of a producer's numbered records are new, and which were lost.

Pure. Numbers are contiguous from 1 per producer; a producer first seen in its middle has lost
what came before.
"""

from __future__ import annotations

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

    def overlaps(self, sequence: int, joined: int) -> bool:
        """Return whether of records that come as one some are in the store already, and some not.

        Args:
            sequence: The number of the last of them.
            joined: How many there are.
        """
        return not self.is_duplicate(sequence) and self.is_duplicate(sequence - joined + 1)

    def advance(self, stored: int | None) -> None:
        """Take over that the store has more than was heard of; none of it is missing."""
        if stored is not None and not self.is_duplicate(stored):
            self.stored = stored

    def commit(self, sequence: int, joined: int = 1) -> int:
        """Count records as stored; return how many were skipped before them.

        Args:
            sequence: The number of the last of them.
            joined: How many there are.
        """
        if self.is_duplicate(sequence):
            return 0  # what a stream brought last is told by the store before it is counted here
        skipped = max(0, sequence - (self.stored or 0) - joined)
        self.missing += skipped
        self.stored = sequence
        return skipped
