"""Trainings, viewers and browsers by the hundred, in one process that spends next to nothing."""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import lru_cache
from itertools import count
from typing import TypeVar

import numpy as np
from grpclib.client import Channel
from PIL import Image

from common.http2 import Call, framed
from trainmon.sealing import seal
from trainmon.v1 import telemetry_pb2 as pb
from trainmon.v1.dashboard_pb2 import WatchSessionRequest
from trainmon.v1.telemetry_grpc import TelemetryServiceStub

__all__ = [
    "NAMES",
    "Beat",
    "Browser",
    "Crowd",
    "Trainer",
    "Watch",
    "pictures",
    "scalars",
]

#: Different pictures that a training sends in turn.
PICTURES = 4
SAMPLES, CLASSES, TOP = 16, 10, 5
NAMES = ("loss", "accuracy", "learning_rate", "grad_norm", "throughput")
PRODUCER = "p"
#: What our relay and our gateway let the monitor send unread, in bytes.
RELAY_WINDOW, GATEWAY_WINDOW = 256 << 10, 1 << 20


def pictures(edge: int) -> list[bytes]:
    """Return framed messages of 16 tiles each, as a relay sends them.

    Args:
        edge: Of a tile, in pixels. Noise of a quarter of the edge, enlarged, takes the bytes that
            photographs do.
    """
    return [framed(_sealed(batch_data=_batch(edge, step))) for step in range(PICTURES)]


def _batch(edge: int, step: int) -> pb.BatchData:
    random = np.random.default_rng(step)
    batch = pb.BatchData(
        timestamp_ms=_now_ms(), epoch=1, batch_index=step, global_step=step, batch_size=64,
        batch_loss=0.5, sample_losses=random.random(SAMPLES).tolist(),
    )  # fmt: skip
    for sample in range(SAMPLES):
        batch.images.append(
            pb.ImageData(
                image_bytes=_tile(random, edge), format="jpeg", width=edge, height=edge, channels=3
            )
        )
        scores = [
            pb.ClassScore(class_index=each, label=f"class {each}", score=1 / (each + 2))
            for each in range(TOP)
        ]
        batch.predictions.append(
            pb.Prediction(
                predicted_class=0, predicted_label="class 0", confidence=0.5, top_k_scores=scores
            )
        )
        true = sample % CLASSES
        batch.ground_truth.append(pb.GroundTruth(true_class=true, true_label=f"class {true}"))
    return batch


def _tile(random: np.random.Generator, edge: int) -> bytes:
    noise = random.integers(80, 176, (edge // 4, edge // 4, 3), dtype=np.uint8)
    tile = Image.fromarray(noise).resize((edge, edge), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    tile.save(out, "JPEG", quality=85)
    return out.getvalue()


@lru_cache(maxsize=256)
def scalars(sequence: int, rows: int) -> bytes:
    """Return a framed message of so many steps of five series."""
    first = (sequence - 1) * rows
    steps = [float(step) for step in range(first, first + rows)]
    times = [_now_ms() + step for step in range(rows)]
    series = [
        pb.MetricSeries(name=name, steps=steps, times=times, values=[step / 3 for step in steps])
        for name in NAMES
    ]
    data = pb.MetricData(timestamp_ms=_now_ms(), series=series)
    return framed(_sealed(sequence=sequence, metric_data=data))


def heartbeat() -> bytes:
    """Return a framed heartbeat."""
    stepping = pb.TRAINER_LIVENESS_STEPPING
    beat = pb.Heartbeat(timestamp_ms=_now_ms(), sequence_number=1, trainer=stepping)
    return framed(_sealed(heartbeat=beat))


def _sealed(session_id: str = "", **payload: object) -> bytes:
    request = pb.TelemetryRequest(
        session_id=session_id, producer_id=PRODUCER, timestamp_ms=_now_ms(), **payload
    )
    return seal(request.SerializeToString())


def _now_ms() -> int:
    return int(time.time() * 1e3)


class Trainer(Call):
    """One training's stream.

    Args:
        session_id: Its session, which must be registered with the producer ``PRODUCER``.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(
            "/trainmon.v1.TelemetryService/StreamTelemetry", RELAY_WINDOW, self._answered
        )
        self.session_id = session_id
        self.sent = self.held = self.told = self.acknowledged = 0
        self.complaint = ""
        self._moved = asyncio.Event()

    async def begin(self) -> None:
        """Say whose stream it is."""
        await self.ready.wait()
        running = pb.StatusUpdate(status=pb.TRAINING_STATUS_RUNNING)
        self.send(framed(_sealed(self.session_id, status_update=running)))

    def show(self, picture: bytes) -> None:
        """Send a picture, or leave it out where the monitor has no room for it."""
        if self.send(picture):
            self.sent += 1
        else:
            self.held += 1

    def tell(self, rows: int) -> None:
        """Send so many steps of scalars as the next record, or keep it back for want of room."""
        if self.send(scalars(self.told + 1, rows)):
            self.told += 1
        else:
            self.held += 1

    async def until_acknowledged(self) -> None:
        """Wait until all that was told is committed."""
        while self.acknowledged < self.told:
            self._moved.clear()
            await self._moved.wait()
            self.check()

    def check(self) -> None:
        """Raise RuntimeError where the monitor complained or has gone."""
        if self.failure or self.complaint:
            raise RuntimeError(f"the monitor: {self.complaint or self.failure}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits."""
        super().connection_lost(exc)
        self._moved.set()

    def _answered(self, message: bytes) -> None:
        response = pb.TelemetryResponse.FromString(message)
        if response.HasField("error"):
            if response.error.code == pb.ERROR_CODE_HEARTBEAT_TIMEOUT:
                return  # a warning: on a full core heartbeats wait like everything
            self.complaint = response.error.message
        elif response.HasField("acknowledgment"):
            self.acknowledged = max(
                self.acknowledged, response.acknowledgment.acknowledged_sequence
            )
            self._moved.set()


class Watch(Call):
    """One viewer's stream from the monitor, as the gateway opens it."""

    def __init__(self, session_id: str, tile: int) -> None:
        super().__init__(
            "/trainmon.v1.DashboardService/WatchSession", GATEWAY_WINDOW, lambda _: None
        )
        self._request = WatchSessionRequest(
            session_id=session_id, frames_per_second=60, tile_size=tile
        )

    async def begin(self) -> None:
        """Ask."""
        await self.ready.wait()
        self.send(framed(seal(self._request.SerializeToString())))
        self.end()

    @property
    def pictures(self) -> int:
        """How many pictures have come."""
        return self.counts.large


#: Chunks beyond this are pictures.
_SMALL_CHUNK = 32 << 10
_CHUNK_HEAD = 64


class Browser:
    """One viewer of the gateway: a bare HTTP/1.1 client that reads all, and copies nothing of it.

    What is behind the head of a chunk is thrown away by the kernel (``MSG_TRUNC``), so that a
    hundred of these leave their core to the monitor.
    """

    _sink = bytearray(1 << 20)

    def __init__(self) -> None:
        self.pictures = self.bytes = 0
        self.failure = ""
        self._left = 0
        self._head = b""
        self._sock = socket.socket()
        self._sock.setblocking(False)

    async def open(self, host: str, port: int, session_id: str, tile: int) -> None:
        """Ask for the session, and read its stream from now on."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._sock, (host, port))
        wanted = WatchSessionRequest(session_id=session_id, frames_per_second=60, tile_size=tile)
        message = seal(wanted.SerializeToString())
        body = struct.pack(">BL", 0, len(message)) + message
        head = (
            f"POST /trainmon.v1.DashboardService/WatchSession HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Content-Type: application/grpc-web+proto\r\nX-Grpc-Web: 1\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        await loop.sock_sendall(self._sock, head.encode() + body)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            more = await loop.sock_recv(self._sock, 1)
            if not more:
                raise RuntimeError(f"the gateway hung up: {answer!r}")
            answer += more
        if b" 200 " not in answer[:20] or b"chunked" not in answer.lower():
            raise RuntimeError(f"the gateway refused: {answer!r}")
        loop.add_reader(self._sock, self._read)

    def close(self) -> None:
        """Leave."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _read(self) -> None:
        try:
            while True:
                if self._left:
                    size = min(self._left, len(self._sink))
                    got = self._sock.recv_into(self._sink, size, socket.MSG_TRUNC)
                    self._left -= got
                else:
                    got = self._read_head()
                if not got:
                    self.failure = "the gateway hung up"
                    asyncio.get_running_loop().remove_reader(self._sock)
                    return
        except BlockingIOError:
            return

    def _read_head(self) -> int:
        got = self._sock.recv(_CHUNK_HEAD - len(self._head))
        self._head += got
        size, end, rest = self._head.partition(b"\r\n")
        if not end:
            return len(got)
        self._head = b""
        length = int(size, 16)
        if len(rest) > length + 2:
            self._head = rest[length + 2 :]
        self._left = max(0, length + 2 - len(rest))
        self.bytes += length
        self.pictures += length > _SMALL_CHUNK
        return len(got)


#: Calls in a row at most.
_BURST = 16
#: Each stream's heartbeat comes once a second, at one of so many moments.
_BEATS = 10


class Beat:
    """Calls something at a rate, for each of a crowd at its own moment.

    Args:
        rate: Calls a second.
        calls: What is called; each gets the number of the turn.
    """

    def __init__(self, rate: float, calls: Sequence[Callable[[int], None]]) -> None:
        self._rate, self._calls = rate, calls
        self._over = False

    def stop(self) -> None:
        """Call no more."""
        self._over = True

    async def run(self) -> None:
        """Call until :meth:`stop`; a turn that is late is made up for at once."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in count():
            turn, index = divmod(number, len(self._calls))
            due = began + (turn + index / len(self._calls)) / self._rate
            wait = due - loop.time()
            if wait > 1e-3 or not number % _BURST:  # who is late must read, too
                await asyncio.sleep(max(wait, 0.0))
            if self._over:
                return
            self._calls[index](turn)


_Made = TypeVar("_Made", Trainer, Watch)


class Crowd:
    """Sessions at one monitor, each with its stream, and viewers of them.

    Args:
        address: Of the monitor.
        stack: Ends all of it.
    """

    def __init__(self, address: str, stack: AsyncExitStack) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._stack = stack
        channel = Channel(self._host, self._port)
        stack.callback(channel.close)
        self._stub = TelemetryServiceStub(channel)
        self.trainers: list[Trainer] = []
        self.watches: list[Watch] = []
        beats = asyncio.create_task(Beat(_BEATS, [self._beat]).run())
        stack.callback(beats.cancel)

    async def grow(self, sessions: int) -> None:
        """Register sessions and open their streams until there are so many."""
        while (number := len(self.trainers)) < sessions:
            request = pb.RegisterTrainingSessionRequest(
                run_key=f"run {number}",
                producer_id=PRODUCER,
                session_name=f"run {number}",
                class_names=[f"class {each}" for each in range(CLASSES)],
                sends_metric_data=True,
            )
            answer = await self._stub.RegisterTrainingSession(request)
            trainer = await self._opened(Trainer(answer.session_id))
            await trainer.begin()
            self.trainers.append(trainer)

    async def watch(self, session_id: str, tile: int) -> None:
        """Open one viewer's stream."""
        watch = await self._opened(Watch(session_id, tile))
        await watch.begin()
        self.watches.append(watch)

    async def _opened(self, call: _Made) -> _Made:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: call, self._host, self._port)
        self._stack.callback(transport.abort)
        return call

    def _beat(self, turn: int) -> None:
        beat = heartbeat()
        for trainer in self.trainers[turn % _BEATS :: _BEATS]:
            trainer.send(beat)

    def check(self) -> None:
        """Raise RuntimeError where anything was refused or broke off."""
        for trainer in self.trainers:
            trainer.check()
        for watch in self.watches:
            if watch.failure:
                raise RuntimeError(watch.failure)
