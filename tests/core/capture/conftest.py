"""Both ends of a channel in one process, and a relay that only counts how often it was woken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from trainmon.channel import Kind, RelayChannel, TrainerChannel, Word, pack_json, unpack


class BothEnds:
    """A channel seen from the training and from the relay."""

    def __init__(self) -> None:
        self.trainer = TrainerChannel.create(1 << 16)
        descriptor = os.dup(self.trainer.memory.descriptor)
        self.relay = RelayChannel.attach(descriptor, self.trainer.record_bytes)

    def records(self) -> list[tuple[Kind, Any]]:
        """Return everything written and not yet read."""
        found = []
        while (payload := self.relay.records.read()) is not None:
            found.append(unpack(payload))
        self.relay.records.release()
        return found

    def of(self, kind: Kind) -> list[Any]:
        """Return the new records of one kind."""
        return [record for found, record in self.records() if found is kind]

    def send(self, **command: Any) -> None:
        """Send a command as a relay does."""
        assert self.relay.commands.write(pack_json(Kind.COMMAND, command))
        self.relay.block.words[Word.COMMANDS] += 1

    def close(self) -> None:
        self.relay.close()
        self.trainer.close()


class QuietRelay:
    """Stands where RelayProcess stands, for parts that only wake it, watch it or wait for it."""

    def __init__(self) -> None:
        self.woken = 0
        self.on_wait: list[Any] = []

    def wake(self) -> None:
        self.woken += 1

    def check(self, now_ns: int) -> None:
        pass

    def wait(self, timeout_s: float) -> None:
        if not self.on_wait:
            raise AssertionError("waits for a command that never comes")
        self.on_wait.pop(0)()


@pytest.fixture
def ends() -> Iterator[BothEnds]:
    """Both ends of one channel."""
    both = BothEnds()
    yield both
    both.close()


@pytest.fixture
def relay() -> QuietRelay:
    """A relay that does nothing by itself."""
    return QuietRelay()
