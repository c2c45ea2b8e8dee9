"""What the training pays for a step: nothing is read that nobody wants, and no more than shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainmon.capture import steps
from trainmon.capture.steps import StepRecorder
from trainmon.channel import Kind, Real, SlotState, Word
from trainmon.config import Settings
from trainmon.events import BatchEvent

TILE = 64


def unexpected(call: str, error: BaseException) -> None:
    """Fail for what cannot be read of a step."""
    raise AssertionError(f"{call}: {error}") from error


class Loop:
    """A training's side: steps that show a batch, and how often somebody asked for it."""

    def __init__(self, ends: Any, relay: Any, *, first_rank: bool) -> None:
        self._ends = ends
        self.asked = 0
        self.while_asked: Any = None
        settings = Settings(key_frame_interval_s=86_400)
        self._recorder = StepRecorder(
            ends.trainer, relay, settings, None, self._collect, unexpected, first_rank=first_rank
        )

    def _collect(self, raw: Any) -> BatchEvent:
        self.asked += 1
        if self.while_asked is not None:
            self.while_asked()
        return BatchEvent(**raw)

    def watch(self, rate: float) -> None:
        """Want pictures, as a relay does for its viewers."""
        for word in (Word.TILE_SIZE, Word.KEY_TILE_SIZE):
            self._ends.relay.block.words[word] = TILE
        self._ends.relay.block.reals[Real.FRAMES_PER_SECOND] = rate

    def step(self, **shown: Any) -> None:
        """End a step, and have the relay read what it wrote."""
        self._recorder.end(shown, 0.5, {"accuracy": 0.5}, None)
        for frame in self._ends.of(Kind.FRAME):
            self._ends.relay.block.words[Word.SLOT_0 + frame["slot"]] = SlotState.FREE

    @property
    def copied(self) -> int:
        """Bytes of pictures copied so far."""
        return int(self._ends.relay.block.words[Word.BYTES_COPIED])


def test_nothing_is_read_while_no_picture_is_due(ends, relay) -> None:
    """A hundred steps that nobody watches: nobody asks for the batch, and no byte is copied."""
    loop = Loop(ends, relay, first_rank=False)
    for _ in range(100):
        loop.step(images=np.zeros((16, 64, 64, 3), np.uint8))
    assert (loop.asked, loop.copied, relay.woken) == (0, 0, 0)


def test_unwatched_one_picture_is_copied_for_the_history(ends, relay) -> None:
    """Of a hundred steps the first alone is looked at, until the next key frame is due."""
    loop = Loop(ends, relay, first_rank=True)
    images = np.zeros((16, TILE, TILE, 3), np.uint8)
    ends.relay.block.words[Word.KEY_TILE_SIZE] = TILE
    for _ in range(100):
        loop.step(images=images)
    assert (loop.asked, loop.copied) == (1, images.nbytes)


def test_pictures_for_the_history_are_no_smaller_for_a_slow_link(ends, relay, monkeypatch) -> None:
    """The first picture is a key frame and has a size of its own; the next is live only."""
    clock = SimpleNamespace(now_ns=10**12)
    still = SimpleNamespace(monotonic_ns=lambda: clock.now_ns, time=lambda: 1)
    monkeypatch.setattr(steps, "time", still)
    loop = Loop(ends, relay, first_rank=True)
    loop.watch(60)
    ends.relay.block.words[Word.TILE_SIZE] = TILE // 2
    images = np.zeros((16, TILE, TILE, 3), np.uint8)
    loop.step(images=images)
    assert loop.copied == images.nbytes
    clock.now_ns += 10**9
    loop.step(images=images)
    assert loop.copied == images.nbytes + images.nbytes // 4


@pytest.mark.parametrize(
    ("shape", "dtype", "copied"),
    [
        ((64, 512, 512, 3), np.uint8, (64, 64, 3)),
        ((64, 3, 512, 512), np.float32, (3, 64, 64)),
        ((64, 700, 300), np.float64, (64, 28)),
        ((16, 64, 64, 3), np.uint8, (64, 64, 3)),
        ((16, 28, 28), np.uint8, (28, 28)),
    ],
)
def test_no_more_is_copied_than_the_tiles_need(ends, relay, shape, dtype, copied) -> None:
    """Of 16 samples every n-th pixel: as many as a tile of 64 px has, or all of a smaller one."""
    loop = Loop(ends, relay, first_rank=False)
    loop.watch(60)
    loop.step(images=np.zeros(shape, dtype))
    assert (loop.asked, loop.copied) == (1, 16 * np.prod(copied) * np.dtype(dtype).itemsize)


def test_the_clock_of_the_thread_is_left_alone(ends, relay, monkeypatch) -> None:
    """To read it costs a training that shares its processor: not for pictures that are cheap."""
    monkeypatch.setattr(steps, "time", SimpleNamespace(monotonic_ns=lambda: 10**12, time=lambda: 1))
    loop = Loop(ends, relay, first_rank=False)
    loop.watch(60)
    loop.step(images=np.zeros((16, 8, 8), np.uint8))
    assert loop.asked == 1


def test_a_picture_that_only_lost_time_to_others_is_no_dear_one(ends, relay, monkeypatch) -> None:
    """After one that took long the next is measured; only where that is dear a rest follows."""
    clock = SimpleNamespace(wall_ns=10**12, own_ns=0)
    monkeypatch.setattr(
        steps,
        "time",
        SimpleNamespace(
            monotonic_ns=lambda: clock.wall_ns,
            thread_time_ns=lambda: clock.own_ns,
            time=lambda: clock.wall_ns / 1e9,
        ),
    )
    loop = Loop(ends, relay, first_rank=False)
    loop.watch(60)

    def step() -> int:
        clock.wall_ns += 20_000_000
        before = loop.asked
        loop.step(images=np.zeros((16, 8, 8), np.uint8))
        return loop.asked - before

    def lose(own_ns: int) -> None:
        clock.wall_ns += 10_000_000
        clock.own_ns += own_ns

    loop.while_asked = lambda: lose(100_000)
    assert [step() for _ in range(5)] == [1, 1, 1, 1, 1]
    loop.while_asked = lambda: lose(10_000_000)
    assert sum(step() for _ in range(10)) == 1
