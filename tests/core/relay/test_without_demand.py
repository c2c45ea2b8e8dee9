"""Nothing is encoded that nobody wants: counted, from the training's steps to the encoder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from trainmon.capture.steps import StepRecorder
from trainmon.channel import Kind, RelayChannel, TrainerChannel, unpack
from trainmon.config import Settings
from trainmon.events import BatchEvent
from trainmon.relay import frame as frames
from trainmon.relay.budget import Budget
from trainmon.relay.demand import Demand
from trainmon.relay.encoder import Encoder
from trainmon.relay.losses import LossCounter
from trainmon.relay.thrift import Thrift
from trainmon.v1.telemetry_pb2 import SessionConfig

TILES = 16


class Wakeless:
    """Stands where RelayProcess stands: both ends are in this process."""

    def wake(self) -> None:
        pass

    def check(self, now_ns: int) -> None:
        pass


class Both:
    """A training that shows a batch at each step, and what its relay does with it."""

    def __init__(self) -> None:
        self._trainer = TrainerChannel.create(1 << 16)
        self._relay = RelayChannel.attach(
            os.dup(self._trainer.memory.descriptor), self._trainer.record_bytes
        )
        self.demand = Demand(self._relay.block, Budget(1.0, lambda: 0.0), Thrift())
        self.delivered: list[Any] = []
        self._encoder = Encoder(
            self._relay.slots,
            LossCounter(self._relay.block),
            lambda _, batch: self.delivered.append(batch),
            pytest.fail,
        )
        settings = Settings(key_frame_interval_s=86_400)
        self._recorder = StepRecorder(
            self._trainer,
            Wakeless(),
            settings,
            None,
            lambda raw: BatchEvent(images=raw),
            lambda call, error: pytest.fail(f"{call}: {error}"),
        )

    async def steps(self, count: int) -> None:
        """End so many steps, and encode what came of each."""
        for _ in range(count):
            self._recorder.end(np.zeros((TILES, 96, 96, 3), np.uint8), 0.5, None, None)
            while (payload := self._relay.records.read()) is not None:
                kind, fields = unpack(payload)
                if kind is Kind.FRAME:
                    self._encoder.submit(fields, self._relay.records.position)
            self._relay.records.release()
            if self._encoder._task is not None:
                await asyncio.wait_for(asyncio.shield(self._encoder._task), 20)

    async def close(self) -> None:
        await self._encoder.close()
        self._recorder.close()
        self._relay.close()
        self._trainer.close()


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    """Both ends."""
    made = Both()
    yield made
    await made.close()


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """Return the edges of the tiles that were encoded, as they are."""
    edges: list[int] = []
    encode = frames.encode

    def counted(tile: Any, *told: Any) -> Any:
        edges.append(tile.width)
        return encode(tile, *told)

    monkeypatch.setattr(frames, "encode", counted)
    return edges


async def test_nothing_is_encoded_that_nobody_wants(both, encoded) -> None:
    """A hundred steps unwatched: the tiles of one key frame; watched: those of each; then none."""
    await both.steps(100)
    assert len(encoded) == TILES
    encoded.clear()
    both.demand.want(SessionConfig(frames_per_second=60, tile_size=64))
    await both.steps(1)
    assert encoded == [64] * TILES
    encoded.clear()
    both.demand.want(SessionConfig(frames_per_second=0))
    await both.steps(100)
    assert encoded == []


def test_who_looks_at_a_run_without_its_pictures_follows_it_all_the_same(both) -> None:
    """Scalars are not to wait for the page that shows no tiles, nor for that of another rank."""
    assert not both.demand.followed
    both.demand.want(SessionConfig(frames_per_second=0, viewers=1))
    assert (both.demand.watched, both.demand.followed) == (False, True)
    both.demand.lost()
    assert not both.demand.followed
    both.demand.want(SessionConfig(frames_per_second=1))
    assert both.demand.followed
