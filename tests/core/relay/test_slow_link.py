"""A link that carries less than is to be shown."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator

import numpy as np
import pytest
from grpclib.config import Configuration

from trainmon.channel import Word

_CHUNK = 8192
_BYTES_PER_S = 400_000


class SlowProxy:
    """Passes bytes to the monitor at a rate, and back at once.

    Args:
        port: Where the monitor listens.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        # Else the system alone would hold megabytes on their way.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        self._server = await asyncio.start_server(self._accept, sock=listening, limit=_CHUNK)
        self.port = listening.getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, target, rate in ((reader, up_writer, _BYTES_PER_S), (up_reader, writer, None)):
            task = asyncio.create_task(self._pass(source, target, rate))
            self._tasks.add(task)

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, rate: int | None
    ) -> None:
        try:
            while data := await source.read(_CHUNK):
                target.write(data)
                await target.drain()
                if rate is not None:
                    await asyncio.sleep(len(data) / rate)  # what makes it slow
        except ConnectionError:
            pass
        finally:
            target.close()


@pytest.fixture
async def slow_link(monitor, trainer) -> AsyncIterator[None]:
    """Put a slow link between the relay and a monitor with the windows of the real one."""
    await monitor.stop()
    await monitor.start(Configuration(http2_stream_window_size=256 << 10))
    proxy = SlowProxy(monitor.port)
    await proxy.start()
    trainer.monitor = f"127.0.0.1:{proxy.port}"
    yield
    trainer.close()
    await monitor.stop()
    await proxy.stop()


async def test_on_a_slow_link_heartbeats_and_scalars_go_before_pictures(
    monitor, trainer, slow_link, eventually
):
    """The link stands, no scalar is late behind pictures, and of those the newest is sent."""
    monitor.config.frames_per_second = 60.0
    monitor.config.heartbeat_timeout_ms = 3000
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    noise = np.random.default_rng(0).integers(0, 256, (16, 256, 256, 3), dtype=np.uint8)
    offered = 0

    async def feed() -> None:
        nonlocal offered
        while True:
            await eventually(lambda: trainer.channel.slots.free_slot() is not None, "a free slot")
            trainer.steps(1)
            trainer.frame({"images": noise}, tile_size=256)
            offered += 1

    feeding = asyncio.create_task(feed())
    try:
        await monitor.wait(lambda: len(monitor.of("batch_data")) >= 4, "four pictures")
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    kinds = [request.WhichOneof("payload") for request in monitor.requests]
    pictures = [index for index, kind in enumerate(kinds) if kind == "batch_data"]
    for before, after in itertools.pairwise(pictures):
        # Each picture takes more than half a second; heartbeats come every fifth of one.
        assert {"heartbeat", "metric_data"} <= set(kinds[before:after])
    assert len(monitor.registrations) == 1
    assert offered > len(pictures)
    losses = {
        (loss.kind, loss.reason): loss.count
        for data in monitor.of("performance_data")[-1:]
        for loss in data.losses
    }
    assert losses["picture", "link_busy"] > 0
    assert {kind for kind, _ in losses} == {"picture"}
    assert trainer.words[Word.LINK_LOST_NS] == 0
