"""From the record ring to whoever takes each kind of record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from trainmon.channel import Kind, unpack
from trainmon.channel.ring import RingReader
from trainmon.relay.losses import LossCounter

__all__ = ["Inbox"]

_log = logging.getLogger(__name__)
#: Records taken before others get their turn; some 10 ms.
_BURST = 1000
#: Looks at a record whose checksum is wrong before the ring gives it up.
_PATIENCE = 200


class Inbox:
    """Reads what the training wrote. What was read is released by whoever has kept it.

    Args:
        ring: Where it lies.
        takers: Who takes which kind; other kinds are counted as invalid.
        losses: Where what could not be taken is counted.
        before: Called before each record is taken, with its kind and where it begins.
    """

    def __init__(
        self,
        ring: RingReader,
        takers: Mapping[Kind, Callable[[Any], None]],
        losses: LossCounter,
        before: Callable[[Kind, int], None],
    ) -> None:
        self._ring = ring
        self._takers = takers
        self._losses = losses
        self._before = before
        self._warned: set[str] = set()
        self.begin = ring.position
        """Where the record begins that is taken now."""

    def drain(self) -> bool:
        """Take what lies there; True: more may be waiting."""
        corrupt = self._ring.corrupt
        taken = 0
        while taken < _BURST:
            begin = self._ring.position
            payload = self._ring.read()
            if payload is None:
                break
            self.begin = begin
            self._take(payload)
            taken += 1
        self._losses.add("scalars", "corrupt", self._ring.corrupt - corrupt)
        return taken == _BURST

    def drain_all(self) -> None:
        """Take everything a training left that is gone, its last half-written record excepted."""
        for _ in range(_PATIENCE):
            while self.drain():
                pass
            if not self._ring.unread:
                return

    def _take(self, payload: bytes) -> None:
        try:
            kind, record = unpack(payload)
            self._before(kind, self.begin)
            self._takers[kind](record)
        except Exception as error:  # noqa: BLE001 - the records' door: one bad record must not stop the others
            self._losses.add("relay", "invalid_record")
            what = f"{type(error).__name__}: {error}"
            if what not in self._warned and len(self._warned) < 100:
                self._warned.add(what)
                _log.warning("a record of the training could not be used (said once): %s", what)
