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

    def commit(self, sequence: int) -> int:
        """Count a record as stored; return how many were skipped before it."""
        skipped = sequence - (self.stored or 0) - 1
        self.missing += skipped
        self.stored = sequence
        return skipped
