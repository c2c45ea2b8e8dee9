"""A store for ranks that are all in one process."""

from __future__ import annotations

from collections.abc import Sequence


class MemoryStore:
    """The keys of all ranks; once ``broken`` every call fails."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.broken = False

    def has(self, keys: Sequence[str]) -> bool:
        self._check()
        return all(key in self.keys for key in keys)

    def read(self, key: str) -> str:
        self._check()
        return self.keys[key]

    def write(self, key: str, value: str) -> None:
        self._check()
        self.keys[key] = value

    def claim(self, key: str, value: str) -> str:
        self._check()
        return self.keys.setdefault(key, value)

    def _check(self) -> None:
        if self.broken:
            raise ConnectionError("the store is gone")
