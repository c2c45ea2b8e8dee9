"""The waits between attempts at the link: bounded, jittered, short again after a good link."""

from __future__ import annotations

import asyncio
import random

import pytest

from trainmon.channel import TrainerChannel
from trainmon.config import Settings
from trainmon.relay.backoff import GOOD_LINK_S, LEAST_S, MOST_S, Backoff
from trainmon.relay.clock import ClockOffset
from trainmon.relay.link import Link
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest


class Clock:
    """Stands until it is turned."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


def waits(backoff: Backoff, count: int) -> list[float]:
    """Return the waits after so many attempts that failed at once."""
    found = []
    for _ in range(count):
        backoff.begin()
        found.append(backoff.wait_s())
    return found


def test_waits_double_up_to_a_bound(clock: Clock) -> None:
    """Each wait is between half and all of a bound that doubles, and never above the greatest."""
    for attempt, wait_s in enumerate(waits(Backoff(clock), 50)):
        most_s = min(MOST_S, LEAST_S * 2**attempt)
        assert most_s / 2 <= wait_s <= most_s


def test_waits_are_jittered(clock: Clock) -> None:
    """A thousand relays that lose one monitor come back spread over half of the wait."""
    firsts = [waits(Backoff(clock), 1)[0] for _ in range(1000)]
    tenths = {int((wait_s / LEAST_S - 0.5) * 20) for wait_s in firsts}
    assert tenths >= set(range(10))


def test_a_good_link_is_followed_by_the_shortest_wait(clock: Clock) -> None:
    """A link that stood long begins anew; one that was lost soon goes on where it was."""
    backoff = Backoff(clock)
    waits(backoff, 10)
    backoff.begin()
    clock.now_s += GOOD_LINK_S / 2
    assert backoff.wait_s() >= MOST_S / 2
    backoff.begin()
    clock.now_s += GOOD_LINK_S * 1.01
    assert backoff.wait_s() <= LEAST_S
    assert waits(backoff, 1)[0] >= LEAST_S  # and from there it grows again


def test_the_generator_is_its_own(clock: Clock) -> None:
    """Nothing is drawn from the process' generator, and its seed decides nothing."""
    random.seed(1)
    before = random.getstate()
    one = waits(Backoff(clock), 5)
    assert random.getstate() == before
    assert waits(Backoff(clock), 5) != one


class Handler:
    """Stands where the relay stands, and has nothing to say."""

    def registration(self) -> RegisterTrainingSessionRequest:
        return RegisterTrainingSessionRequest()

    def unlinked(self) -> None:
        """Nothing is to be done."""


async def test_a_link_waits_so_between_its_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens a link waits longer and longer, as it is told."""
    waited: list[float] = []
    enough = asyncio.Event()

    async def note(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 8:
            enough.set()
            await asyncio.Event().wait()

    channel = TrainerChannel.create(4096)
    losses = LossCounter(channel.block)
    outbox = Outbox(1 << 20, losses, None, lambda _: None)
    settings = Settings.from_environment(monitor="127.0.0.1:9")
    link = Link(settings, "producer", outbox, Handler(), losses, ClockOffset())
    monkeypatch.setattr("trainmon.relay.link.asyncio.sleep", note)
    running = asyncio.create_task(link.run())
    await asyncio.wait_for(enough.wait(), 20)
    running.cancel()
    await asyncio.wait({running})
    channel.close()
    for attempt, wait_s in enumerate(waited):
        most_s = min(MOST_S, LEAST_S * 2**attempt)
        assert most_s / 2 <= wait_s <= most_s
