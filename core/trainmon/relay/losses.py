"""Counts of what was thinned, merged or refused, by kind and reason."""

from __future__ import annotations

import threading
from collections import Counter

from trainmon.channel import ControlBlock, Word
from trainmon.v1.telemetry_pb2 import LossCount

__all__ = ["LossCounter"]

#: What the training counts in the control block: (word, kind, reason).
_TRAINER = (
    (Word.REFUSED_SCALARS, "scalars", "buffer_full"),
    (Word.REFUSED_EVENTS, "status", "buffer_full"),
    (Word.THINNED_PICTURES, "picture", "relay_busy"),
    (Word.ADAPTER_FAILURES, "adapter", "exception"),
)


class LossCounter:
    """Counts losses; thread-safe.

    Args:
        block: Where the training counts its own.
    """

    def __init__(self, block: ControlBlock) -> None:
        self._words = block.words
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str, reason: str, count: int = 1) -> None:
        """Count ``count`` records of a kind, lost for a reason (see LossCount)."""
        with self._lock:
            self._counts[kind, reason] += count

    def count(self, kind: str, reason: str) -> int:
        """Return how many there were, those that the training counted included."""
        return self._all()[kind, reason]

    def messages(self) -> list[LossCount]:
        """Return every count above 0, sorted."""
        return [
            LossCount(kind=kind, reason=reason, count=count, best_effort=kind == "picture")
            for (kind, reason), count in sorted(self._all().items())
            if count
        ]

    def _all(self) -> Counter[tuple[str, str]]:
        with self._lock:
            counts = self._counts.copy()
        for word, kind, reason in _TRAINER:
            counts[kind, reason] += self._words[word]
        return counts
