"""A link that carries less than is to be shown."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator

import numpy as np
import pytest
from grpclib.config import Configuration

from proxy import Proxy
from trainmon.channel import Real, Word
from trainmon.v1.telemetry_pb2 import BatchData, PictureLimit

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


@pytest.fixture
async def throttled(monitor, trainer) -> AsyncIterator[Proxy]:
    """Put a proxy whose speed can be set before a monitor with the windows of the real one."""
    await monitor.stop()
    await monitor.start(Configuration(http2_stream_window_size=256 << 10))
    proxy = Proxy(monitor.port)
    trainer.monitor = proxy.address
    yield proxy
    trainer.close()
    await monitor.stop()
    await asyncio.to_thread(proxy.close)


async def test_quality_falls_on_a_slow_link_and_comes_back_when_it_is_quick(
    monitor, trainer, throttled, eventually
):
    """Live pictures lose quality, key frames do not, the reason is told; then all is as before."""
    monitor.config.frames_per_second = 60.0
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    noise = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)

    def limits() -> list[int]:
        return [each.picture_limit for each in monitor.of("performance_data")]

    def size(batch: BatchData) -> int:
        return sum(len(image.image_bytes) for image in batch.images)

    async def feed() -> None:
        for number in itertools.count():
            await eventually(lambda: trainer.channel.slots.free_slot() is not None, "a free slot")
            trainer.steps(1)
            trainer.frame({"images": noise}, tile_size=128, key_frame=number % 40 == 20)
            await asyncio.sleep(0.02)  # what the training does meanwhile

    feeding = asyncio.create_task(feed())
    try:
        await monitor.wait(lambda: monitor.of("batch_data"), "a picture")
        whole = size(monitor.of("batch_data")[0])
        throttled.up.bytes_per_s = 500_000
        slow = PictureLimit.PICTURE_LIMIT_SLOW_LINK
        await monitor.wait(lambda: slow in limits(), "the reason")
        await monitor.wait(
            lambda: size(monitor.of("batch_data")[-1]) < 0.8 * whole, "a picture of less quality"
        )
        key_frames = [each.batch_data for each in monitor.requests if each.HasField("sequence")]
        assert {size(each) for each in key_frames if each.images} <= {whole}
        throttled.up.bytes_per_s = 0.0
        await monitor.wait(lambda: limits()[-1] != slow, "no reason any more")
        await monitor.wait(
            lambda: size(monitor.of("batch_data")[-1]) == whole, "a picture of full quality"
        )
        await eventually(lambda: trainer.reals[Real.FRAMES_PER_SECOND] == 60, "the full rate")
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
