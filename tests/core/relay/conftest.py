"""A relay as a real process, the training's end of its channel, and a monitor that obeys."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server

import trainmon
from trainmon.channel import (
    Kind,
    StepRecord,
    TrainerChannel,
    Word,
    pack_json,
    pack_step,
    write_hello,
)
from trainmon.relay.losses import LossCounter
from trainmon.testing import trainmon_plugins
from trainmon.v1.telemetry_grpc import TelemetryServiceBase
from trainmon.v1.telemetry_pb2 import (
    Acknowledgment,
    HeartbeatReply,
    RegisterTrainingSessionRequest,
    SessionConfig,
    SessionResponse,
    TelemetryRequest,
    TelemetryResponse,
)

__all__ = ["trainmon_plugins"]  # a fixture, found here by pytest

PACKAGE_PARENT = Path(trainmon.__file__).resolve().parents[1]
PATIENCE_S = 25.0


async def until(read: Callable[[], Any], what: str) -> Any:
    """Return what ``read`` returns once it is true; fail after a while.

    For shared memory and other processes, which offer no event to wait on.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (value := await _now(read)):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}; last: {value!r}"
        await asyncio.sleep(0.005)
    return value


async def _now(read: Callable[[], Any]) -> Any:
    value = read()
    return await value if inspect.isawaitable(value) else value


class _Server(Server):
    """A server that knows its connections: from Python 3.12 on it waits for the last to close."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.protocols: list[Any] = []

    def _protocol_factory(self) -> Any:
        self.protocols.append(super()._protocol_factory())
        return self.protocols[-1]


class ScriptedMonitor(TelemetryServiceBase):
    """Does what a test says, also what the real monitor cannot be made to do."""

    def __init__(self) -> None:
        self.registrations: list[RegisterTrainingSessionRequest] = []
        self.requests: list[TelemetryRequest] = []
        """Of all streams, in order."""
        self.streams = 0
        """Opened so far."""
        self.stored: int | None = None
        """What registration says is stored; follows the acknowledgments."""
        self.config = SessionConfig(
            heartbeat_interval_ms=200,
            heartbeat_timeout_ms=2000,
            max_images=16,
            tile_size=64,
            image_quality=85,
            performance_every_n_batches=10,
            max_message_bytes=4 << 20,
        )
        self.acknowledges = True
        self.hangs = False
        """Reads and says nothing."""
        self.refusal: GRPCError | None = None
        """What registration is answered with."""
        self._news = asyncio.Condition()
        self._streams: list[Any] = []
        self._server: _Server | None = None
        self.port = 0

    # --- the service ------------------------------------------------------------------------------

    async def RegisterTrainingSession(self, stream: Any) -> None:  # noqa: N802 - gRPC's name
        self.registrations.append(await stream.recv_message())
        await self._tell()
        if self.refusal is not None:
            raise self.refusal
        response = SessionResponse(session_id="session-1", config=self.config)
        if self.stored is not None:
            response.stored_sequence = self.stored
        await stream.send_message(response)

    async def StreamTelemetry(self, stream: Any) -> None:  # noqa: N802 - gRPC's name
        self.streams += 1
        self._streams.append(stream)
        with suppress(StreamTerminatedError):
            while (request := await stream.recv_message()) is not None:
                if self.hangs:
                    await asyncio.Event().wait()
                self.requests.append(request)
                await self._answer(stream, request)
                await self._tell()

    async def _answer(self, stream: Any, request: TelemetryRequest) -> None:
        if request.HasField("heartbeat"):
            reply = HeartbeatReply(
                sequence_number=request.heartbeat.sequence_number,
                client_timestamp_ms=request.heartbeat.timestamp_ms,
                received_ms=time.time() * 1e3,
                sent_ms=time.time() * 1e3,
            )
            await stream.send_message(TelemetryResponse(heartbeat=reply))
        elif request.HasField("sequence") and self.acknowledges:
            self.stored = max(self.stored or 0, request.sequence)
            await self.acknowledge(self.stored)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # --- what a test does -------------------------------------------------------------------------

    async def acknowledge(self, sequence: int) -> None:
        acknowledgment = Acknowledgment(acknowledged_sequence=sequence)
        await self.send(TelemetryResponse(acknowledgment=acknowledgment))

    async def send(self, response: TelemetryResponse) -> None:
        """Send something on the newest stream."""
        with suppress(StreamTerminatedError):
            await self._streams[-1].send_message(response)

    async def configure(self, **fields: Any) -> None:
        """Change what is wanted, and tell it on the newest stream."""
        for name, value in fields.items():
            setattr(self.config, name, value)
        await self.send(TelemetryResponse(config=self.config))

    async def end_stream(self, response: TelemetryResponse, status: Status, message: str) -> None:
        """End the newest stream with an error and its status."""
        await self.send(response)
        stream = self._streams[-1]
        with suppress(StreamTerminatedError):
            await stream.send_trailing_metadata(status=status, status_message=message)

    async def wait(self, ready: Callable[[], Any], what: str) -> Any:
        """Wait until what was received satisfies ``ready``; return its value."""

        async def satisfied() -> Any:
            async with self._news:
                while not (value := ready()):
                    await self._news.wait()
                return value

        try:
            return await asyncio.wait_for(satisfied(), PATIENCE_S)
        except asyncio.TimeoutError:
            kinds = [request.WhichOneof("payload") for request in self.requests[-20:]]
            pytest.fail(f"not within {PATIENCE_S:g} s: {what}; last requests: {kinds}")

    def of(self, kind: str) -> list[Any]:
        """Return every payload of a kind received so far."""
        return [getattr(each, kind) for each in self.requests if each.HasField(kind)]

    def statuses(self) -> list[str]:
        """Return the states told so far, without their prefix."""
        from trainmon.v1.telemetry_pb2 import TrainingStatus

        names = [TrainingStatus.Name(each.status) for each in self.of("status_update")]
        return [name.removeprefix("TRAINING_STATUS_") for name in names]

    def sequences(self) -> list[int]:
        """Return the sequences received so far, in order."""
        return [each.sequence for each in self.requests if each.HasField("sequence")]

    def losses(self) -> dict[int, float]:
        """Return the batch losses received so far, by step; each sequence once."""
        by_sequence = {each.sequence: each for each in self.requests if each.HasField("sequence")}
        found: dict[int, float] = {}
        for request in by_sequence.values():
            for series in request.metric_data.series:
                if series.name == "loss":
                    for step, value in zip(series.steps, series.values, strict=True):
                        assert int(step) not in found, f"step {step} came twice"
                        found[int(step)] = value
        return found

    # --- its life ---------------------------------------------------------------------------------

    async def start(self, config: Configuration | None = None) -> None:
        """Listen, on the same port as before where there was one."""
        self._server = _Server([self], config=config)
        await self._server.start("127.0.0.1", self.port)
        listening = self._server._server.sockets[0]
        self.port = listening.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is None:
            return
        server, self._server = self._server, None
        handlers = list(server._handlers)
        server.close()
        for handler in handlers:
            handler.close()
        for stream in self._streams:
            transport = stream._stream._transport
            transport.abort()
        self._streams.clear()
        for protocol in server.protocols:
            if hasattr(protocol, "connection"):
                protocol.connection.close()
        await server.wait_closed()


class Trainer:
    """The training's end: this process stands in for it.

    Args:
        monitor: Where the relay is to find the monitor.
        log: Where the relay's stderr goes.
    """

    def __init__(self, monitor: str, log: Path) -> None:
        self.channel = TrainerChannel.create(1 << 20)
        self.words = self.channel.block.words
        self.reals = self.channel.block.reals
        self.monitor = monitor
        self.environment: dict[str, str] = {}
        self.info: dict[str, Any] = {
            "run_key": "run-1",
            "producer_id": "producer-1",
            "session_name": "a run",
            "class_names": [f"class {index}" for index in range(10)],
            "pid": os.getpid(),
        }
        self.hello: dict[str, Any] = {"status": "STARTING", "adapter": "", "details": {}}
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.wake: socket.socket | None = None
        self.step_number = 0

    def start(self) -> None:
        """Start a relay as a session does, also one that follows another."""
        if self.wake is not None:
            self.wake.close()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        hello = write_hello({"info": self.info, **self.hello})
        passed = (self.channel.memory.descriptor, theirs.fileno(), hello)
        names = ("--channel", "--wake", "--hello")
        command = [sys.executable, "-m", "trainmon.relay"]
        command += ["--record-bytes", str(self.channel.record_bytes)]
        for name, descriptor in zip(names, passed, strict=True):
            command += [name, str(descriptor)]
        environment = {**os.environ, "TRAINMON_MONITOR": self.monitor, **self.environment}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                cwd=PACKAGE_PARENT,
                env=environment,
            )
        theirs.close()
        os.close(hello)
        self.wake = ours

    @property
    def spool(self) -> Path:
        """Where the relay keeps what the monitor does not have."""
        return Path(os.environ["TRAINMON_HOME"]) / "spool" / self.info["producer_id"]

    @property
    def errors(self) -> str:
        """What the relay has written to stderr so far."""
        return self._log.read_text()

    def call(self) -> None:
        """Wake the relay."""
        assert self.wake is not None
        self.wake.send(b"\1")

    def called(self) -> bool:
        """Whether the relay has woken the training since the last time."""
        assert self.wake is not None
        try:
            return bool(self.wake.recv(4096))
        except BlockingIOError:
            return False

    def steps(self, count: int, **fields: Any) -> None:
        """Let batches end; the loss of each is its step."""
        for _ in range(count):
            number = self.step_number
            self.step_number += 1
            record = StepRecord(
                **{
                    "global_step": number,
                    "epoch": 0,
                    "batch_index": number,
                    "time_ms": time.time() * 1e3,
                    "loss": float(number),
                    **fields,
                }
            )
            assert self.channel.records.write(pack_step(**vars(record)))
            self.words[Word.STEPS] += 1
            self.words[Word.LAST_STEP_NS] = time.monotonic_ns()

    def tell(self, kind: Kind, **fields: Any) -> None:
        """Write a record and wake the relay."""
        fields.setdefault("time_ms", time.time() * 1e3)
        assert self.channel.records.write(pack_json(kind, fields))
        self.call()

    def frame(self, arrays: dict[str, Any], **fields: Any) -> int:
        """Hand over a picture; return its slot."""
        slot = self.channel.slots.free_slot()
        assert slot is not None
        writer = self.channel.slots.writer(slot)
        for role, given in arrays.items():
            values = np.asarray(given)
            writer.allocate(role, values.shape, values.dtype)[...] = values
        self.channel.slots.hand_over(slot)
        step = max(0, self.step_number - 1)
        self.tell(
            Kind.FRAME,
            **{
                "slot": slot,
                "arrays": writer.layout,
                "channels_first": False,
                "tile_size": 64,
                "live": True,
                "key_frame": False,
                "global_step": step,
                "epoch": 0,
                "batch_index": step,
                "batch_size": 32,
                "loss": 1.0,
                "attempt": 0,
                **fields,
            },
        )
        return slot

    async def ended(self) -> int:
        """Wait until the relay has ended; return its exit code."""
        assert self.process is not None
        process = self.process
        return await asyncio.wait_for(asyncio.to_thread(process.wait, PATIENCE_S), PATIENCE_S)

    def close(self) -> None:
        """End the relay, if the test has not."""
        if self.wake is not None:
            self.wake.close()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        self.channel.memory.close()


@pytest.fixture
async def monitor() -> AsyncIterator[ScriptedMonitor]:
    """Give a monitor that obeys the test."""
    scripted = ScriptedMonitor()
    await scripted.start()
    yield scripted
    await scripted.stop()


@pytest.fixture
async def trainer(monitor: ScriptedMonitor, tmp_path: Path) -> AsyncIterator[Trainer]:
    """Give a training whose relay is not started yet."""
    training = Trainer(f"127.0.0.1:{monitor.port}", tmp_path / "relay.log")
    training._log.touch()
    yield training
    training.close()


@pytest.fixture
async def linked(monitor: ScriptedMonitor, trainer: Trainer) -> Trainer:
    """Give a training whose relay has its stream to the monitor."""
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    return trainer


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any], str], Awaitable[Any]]:
    """Give the wait for what has no event."""
    return until


@pytest.fixture
def gone() -> Callable[[int], Awaitable[None]]:
    """Give the wait for the end of a process that is not a child."""

    async def wait(pid: int) -> None:
        def ended() -> bool:
            try:
                return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                return True

        await until(ended, f"process {pid} is gone")

    return wait


@pytest.fixture
def kill() -> Callable[[int], None]:
    """Give a kill that nothing can catch."""
    return lambda pid: os.kill(pid, signal.SIGKILL)


@pytest.fixture
def losses():
    """Give a counter of no training's."""
    return LossCounter()
