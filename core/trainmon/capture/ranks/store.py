"""What the ranks of a run share: a few keys in a store that all of them reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Store"]


class Store(Protocol):
    """A key-value store on a connection of our own; every call is one short round trip.

    Used by one thread only. A call that fails raises whatever it likes: the ranks are then apart
    for the rest of the run.
    """

    def has(self, keys: Sequence[str]) -> bool:
        """Return whether all of these keys are there. Never waits for them."""

    def read(self, key: str) -> str:
        """Return the value of a key that is there."""

    def write(self, key: str, value: str) -> None:
        """Set a key."""

    def claim(self, key: str, value: str) -> str:
        """Set a key unless it is there, in one indivisible step; return what it now holds."""
