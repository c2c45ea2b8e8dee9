"""Counts of what was thinned, merged or refused, by kind and reason."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

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
#: What is more than best effort; of these the training is told, too.
_RECORDS = frozenset({"scalars", "key_frame", "epoch", "status", "command_result"})


class LossCounter:
    """Counts losses; thread-safe.

    Args:
        block: Where the training counts its own; None: there is no training.
    """

    def __init__(self, block: ControlBlock | None = None) -> None:
        self._words = None if block is None else block.words
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str, reason: str, count: int = 1) -> None:
        """Count ``count`` records of a kind, lost for a reason (see LossCount)."""
        if not count:
            return
        with self._lock:
            self._counts[kind, reason] += count
            if self._words is not None and kind in _RECORDS:
                word = Word.RELAY_MERGED if reason == "merged" else Word.RELAY_REFUSED
                self._words[word] += count

    def count(self, kind: str, reason: str) -> int:
        """Return how many there were, those that the training counted included."""
        return self._all()[kind, reason]

    def saved(self) -> dict[str, int]:
        """Return what was counted here, for :meth:`restore` of another relay's."""
        with self._lock:
            return {f"{kind}/{reason}": count for (kind, reason), count in self._counts.items()}

    def restore(self, saved: Mapping[str, int]) -> None:
        """Add what was counted by a relay before this one."""
        with self._lock:
            for name, count in saved.items():
                kind, _, reason = name.partition("/")
                self._counts[kind, reason] += int(count)

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
        if self._words is not None:
            for word, kind, reason in _TRAINER:
                counts[kind, reason] += self._words[word]
        return counts
