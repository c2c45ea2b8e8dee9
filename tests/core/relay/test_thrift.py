"""What is asked for while the link to the monitor is slow."""

from __future__ import annotations

import itertools

import pytest

from trainmon.channel import Real, TrainerChannel, Word
from trainmon.relay.budget import Budget
from trainmon.relay.demand import Demand
from trainmon.relay.thrift import Thrift
from trainmon.v1.telemetry_pb2 import PictureLimit, SessionConfig


class Windows:
    """A thrift whose windows a test ends."""

    def __init__(self) -> None:
        self.thrift = Thrift()
        self._now_s = 0.0
        self.thrift.tick(0.0)

    def pass_by(self, count: int, late: int, offered: int = 60) -> None:
        for _ in range(count):
            for index in range(offered):
                self.thrift.offered(late=index < late)
            self._now_s += 1.0
            self.thrift.tick(self._now_s)

    @property
    def asked(self) -> tuple[float, int, int]:
        return self.thrift.rate(60), self.thrift.tile(256), self.thrift.quality(85)


@pytest.fixture
def windows() -> Windows:
    """Give a thrift that has seen nothing."""
    return Windows()


def test_a_link_that_keeps_up_is_given_all(windows):
    """A few pictures that waited change nothing."""
    windows.pass_by(50, late=10)
    assert windows.asked == (60, 256, 85)
    assert not windows.thrift.limiting


def test_a_slow_link_gets_lower_quality_then_fewer_then_smaller_pictures(windows):
    """Each level is tried for two windows, after one in which the last change takes hold."""
    seen = [windows.asked]
    for _ in range(40):
        windows.pass_by(1, late=40)
        if windows.asked != seen[-1]:
            seen.append(windows.asked)
    assert seen == [
        (60, 256, 85),
        (60, 256, 70),
        (60, 256, 50),
        (30, 256, 50),
        (30, 128, 50),
        (15, 128, 50),
        (7.5, 128, 50),
        (3.75, 64, 50),
    ]
    assert windows.thrift.limiting


def test_one_slow_window_is_a_hiccup(windows):
    """Every second window slow: nothing is lowered."""
    for index in range(40):
        windows.pass_by(1, late=60 if index % 2 else 0)
    assert windows.asked == (60, 256, 85)


def test_all_comes_back_when_the_link_is_quick(windows):
    """Level by level, until nothing is limited."""
    windows.pass_by(30, late=60)
    windows.pass_by(60, late=0)
    assert windows.asked == (60, 256, 85)
    assert not windows.thrift.limiting


def test_windows_without_pictures_say_nothing(windows):
    """A training that stands still is no proof of a quick link."""
    windows.pass_by(10, late=60)
    before = windows.asked
    windows.pass_by(100, late=0, offered=0)
    assert windows.asked == before


def test_what_was_too_much_is_tried_ever_more_seldom(windows):
    """A link that carries just one level less is not tried every few seconds."""
    tried = []
    for index in range(300):
        before = windows.thrift.limiting
        windows.pass_by(1, late=0 if before else 60)
        if before and not windows.thrift.limiting:
            tried.append(index)
    waits = [later - sooner for sooner, later in itertools.pairwise(tried)]
    assert waits == sorted(waits)
    assert waits[-1] > 30


@pytest.mark.parametrize("offered", [60, 1])
def test_hiccups_keep_nothing_down(windows, offered):
    """A good link with a lone slow window in ten gives all again, however patient one has become.

    At the lowest levels a window has one picture, and is slow if that one is late.
    """
    for _ in range(100):  # what one level more is too much for
        windows.pass_by(1, late=0 if windows.thrift.limiting else 60)
    windows.pass_by(30, late=60)
    assert windows.asked == (3.75, 64, 50)
    for index in range(300):
        windows.pass_by(1, late=offered if index % 10 == 9 else 0, offered=offered)
    assert windows.asked == (60, 256, 85)


def test_nothing_is_raised_above_what_is_wanted(windows):
    """Small wishes stay as they are, and no limit turns into a demand."""
    windows.pass_by(60, late=60)
    assert windows.thrift.rate(0) == 0
    assert windows.thrift.rate(0.5) == 0.5
    assert windows.thrift.tile(32) == 32
    assert windows.thrift.quality(40) == 40


def test_what_limits_pictures_is_told_while_somebody_watches():
    """The CPU budget, or the link; nothing where nobody watches."""
    channel = TrainerChannel.create(1 << 16)
    try:
        cpu_s, windows = iter(range(100)), Windows()
        demand = Demand(channel.block, Budget(0.5, lambda: next(cpu_s)), windows.thrift)
        assert demand.limit == PictureLimit.PICTURE_LIMIT_UNSPECIFIED
        demand.want(SessionConfig(frames_per_second=60))
        for now_s in range(3):
            demand.tick(now_s)
        assert demand.limit == PictureLimit.PICTURE_LIMIT_OVERHEAD_BUDGET
        budgeted = channel.block.reals[Real.FRAMES_PER_SECOND]
        windows.pass_by(30, late=60)
        demand.want(SessionConfig(frames_per_second=60))
        assert demand.limit == PictureLimit.PICTURE_LIMIT_SLOW_LINK
        assert channel.block.reals[Real.FRAMES_PER_SECOND] < budgeted
        demand.lost()
        assert demand.limit == PictureLimit.PICTURE_LIMIT_UNSPECIFIED
    finally:
        channel.memory.close()


@pytest.mark.parametrize("end", ["nobody watches", "the link is lost"])
def test_a_slow_link_leaves_nothing_behind(end):
    """Once nobody watches, or the link is made anew, all that is wanted is asked for again."""
    channel = TrainerChannel.create(1 << 16)
    try:
        words, windows = channel.block.words, Windows()
        demand = Demand(channel.block, Budget(0.5, lambda: 0.0), windows.thrift)
        demand.want(SessionConfig(frames_per_second=60, tile_size=256))
        windows.pass_by(30, late=60)
        demand.tick(0.0)
        assert (words[Word.TILE_SIZE], words[Word.KEY_TILE_SIZE]) == (64, 256)
        if end == "nobody watches":
            demand.want(SessionConfig(tile_size=256))
        else:
            demand.lost()
        assert words[Word.TILE_SIZE] == 256
        demand.want(SessionConfig(frames_per_second=60, tile_size=256))
        assert channel.block.reals[Real.FRAMES_PER_SECOND] == 60
        assert windows.asked == (60, 256, 85)
    finally:
        channel.memory.close()
