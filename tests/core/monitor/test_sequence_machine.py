"""Sequences, take-over and doubles: whatever streams, kills and disks do, each record is kept once.

The monitor is the real one without its sockets, its store the real one on disk. What is played is
the other end of each stream: relays that number their records, resend, register anew, share an id.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from grpclib.exceptions import GRPCError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gated import Gate, GatedStore
from trainmon.config import Settings
from trainmon.monitor.backend import Backend
from trainmon.monitor.clock import Clock
from trainmon.monitor.link import TrainerLink
from trainmon.monitor.store.base import MetricsQuery
from trainmon.monitor.viewer import Demand
from trainmon.v1.dashboard_pb2 import SessionSnapshot, WatchSessionResponse
from trainmon.v1.telemetry_pb2 import (
    ErrorCode,
    MetricData,
    MetricSeries,
    RegisterTrainingSessionRequest,
    TelemetryRequest,
    TelemetryResponse,
)

SUPERSEDED = ErrorCode.ERROR_CODE_SESSION_SUPERSEDED
#: With which a stream ends that sent some of what is kept in one message with what is not.
OVERLAPPING = ErrorCode.ERROR_CODE_INVALID_MESSAGE
PRODUCERS = ["p0", "p1", "p2"]
#: How long anything may take that should come at once, in seconds.
SOON_S = 60.0

producers = st.sampled_from(PRODUCERS)
#: What ends everything else at once happens now and then.
rarely = st.integers(0, 3).map(lambda chance: chance == 3)


class TurnedClock(Clock):
    """The real clocks, and what a test adds to the monotonic one."""

    added_s = 0.0

    def monotonic(self):
        """Return the time."""
        return super().monotonic() + self.added_s


class Stream:
    """One telemetry stream: what the service does around a link, without a socket."""

    def __init__(self, machine, producer, following):
        self.machine = machine
        self.producer = producer
        self.following = following
        self.sent = asyncio.Queue()
        self.busy = self.is_cut = False
        self.farewell = None
        backend = machine.backend
        self.link = TrainerLink(backend.clock, lambda: 0, 3600.0)
        backend.link_opened(self.link)
        self.reader = asyncio.create_task(self._read())
        self.task = asyncio.create_task(self._run())

    def send(self, numbers, *, joined=False):
        """Send records by their numbers, each in a message of its own or all in one."""
        for part in [numbers] if joined else [[number] for number in numbers]:
            rank = PRODUCERS.index(self.producer)
            values = [number * 10 + rank for number in part]
            rows = MetricSeries(name="loss", steps=part, times=[1] * len(part), values=values)
            self.sent.put_nowait(
                TelemetryRequest(
                    session_id=self.machine.session_id,
                    producer_id=self.producer,
                    sequence=part[-1],
                    joined=len(part) if joined else 0,
                    metric_data=MetricData(series=[rows]),
                )
            )

    @property
    def is_working(self):
        """Whether it still takes in what was sent, or waits for the gate with it."""
        if self.task.done() or (self.sent.empty() and not self.busy and not self.link.over):
            return False
        return not self.machine.gate.blocks(self.reader)

    async def _read(self):
        while not self.link.over:
            request = await self.sent.get()
            self.busy = True
            await self.machine.backend.take(self.link, request)
            self.busy = False

    async def _run(self):
        try:
            with suppress(GRPCError):  # the status it ended with
                await self.link.run(self._told)
        finally:
            await self.machine.backend.link_closed(self.link, self.reader)
        if not self.reader.cancelled():
            self.reader.result()

    async def _told(self, data):
        response = TelemetryResponse.FromString(data)
        if response.WhichOneof("payload") == "acknowledgment":
            if response.acknowledgment.HasField("acknowledged_sequence"):
                self.machine.acknowledge(
                    self.producer, response.acknowledgment.acknowledged_sequence
                )
        elif response.WhichOneof("payload") == "error":
            self.farewell = response.error.code


class SequenceMachine(RuleBasedStateMachine):
    """Relays, their streams, a monitor that may be killed, and a disk that may be full."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.settings = Settings.from_environment(
            heartbeat_timeout_ms=60_000, pause_orphan_timeout_s=86_400
        )
        self.session_id = ""
        self.produced = dict.fromkeys(PRODUCERS, 0)
        self.acknowledged = dict.fromkeys(PRODUCERS, 0)
        self.known = set()
        self.streams = []
        self.registrations = set()
        self.backend = None
        self.viewer = None

    @property
    def living(self):
        """Streams that can carry something."""
        return [each for each in self.streams if not each.is_cut]

    # The monitor.

    @initialize()
    def start(self):
        """Start a monitor on what the one before left."""
        self.run(self._start())

    async def _start(self):
        self.gate = Gate()
        self.store = GatedStore(Path(self.folder.name) / "history", self.gate)
        self.backend = Backend(self.settings, self.store, TurnedClock())
        await self.backend.start()
        self.streams = []
        self.viewer = None
        if self.session_id:
            await self._watch(await self.backend.registry.find(self.session_id))

    @rule(really=rarely)
    def kill(self, really):
        """Kill the monitor, and start another: what waited at the gate was never written."""
        if really:
            self.run(self._kill())
            self.start()

    async def _kill(self):
        while tasks := self._tasks():  # the end of one may begin another
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self.registrations.clear()
        await self.store.close()

    def _tasks(self):
        tasks = {task for stream in self.streams for task in (stream.task, stream.reader)}
        tasks |= self.registrations | self.backend.keeper._tasks | self.gate.given
        return {task for task in tasks if not task.done()}

    @rule()
    def turn_the_gate(self):
        """Let everything that is to be written wait, or no longer."""
        self.run(self._turn())

    async def _turn(self):
        if self.gate.open.is_set():
            self.gate.open.clear()
        else:
            self.gate.open.set()
            await self._idle()

    @rule(full=rarely)
    def fill(self, full):
        """Let the disk be full, or have room again."""
        self.store.full = full

    @rule(seconds=st.sampled_from([0, 2]))
    def tick(self, seconds):
        """Let time pass: streams that were held back end once there is room."""
        self.run(self._tick(seconds))

    async def _tick(self, seconds):
        self.backend.clock.added_s += seconds
        self.backend.tick()
        await self._idle()

    # The relays.

    @rule(producer=producers)
    def register(self, producer):
        """Register, again perhaps, and send on a new stream what is not stored of what there is."""
        self.run(self._register(producer))

    async def _register(self, producer):
        self.registrations.add(asyncio.create_task(self._registered(producer)))
        await self._idle()

    async def _registered(self, producer):
        answer = await self.backend.register(
            RegisterTrainingSessionRequest(
                run_key="run",
                producer_id=producer,
                rank=PRODUCERS.index(producer),
                world_size=len(PRODUCERS),
                sends_metric_data=True,
            )
        )
        self.session_id = answer.session_id
        self.known.add(producer)
        if self.viewer is None:
            await self._watch(self.backend.registry.get(self.session_id))
        assert self.acknowledged[producer] <= answer.stored_sequence
        self.acknowledge(producer, answer.stored_sequence)
        # As one message: that any of it is stored already must have been told.
        self._open(producer, answer.stored_sequence + 1, joined=True)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), back=st.integers(0, 3))
    def open_another(self, data, back):
        """Open a stream without registering; it resends some of what was acknowledged, too."""
        producer = data.draw(st.sampled_from(sorted(self.known)))
        self.run(self._opened(producer, max(1, self.acknowledged[producer] + 1 - back)))

    async def _opened(self, producer, following):
        self._open(producer, following)
        await self._idle()

    def _open(self, producer, following, *, joined=False):
        stream = Stream(self, producer, following)
        self.streams.append(stream)
        numbers = range(following, self.produced[producer] + 1)
        stream.send(numbers, joined=joined and bool(numbers))
        stream.following = max(following, self.produced[producer] + 1)

    @precondition(lambda self: self.living)
    @rule(data=st.data(), count=st.integers(1, 5), joined=st.booleans())
    def send(self, data, count, joined):
        """Send the next records on any stream, superseded or not, the newest mostly."""
        index = data.draw(st.integers(0, min(3, len(self.living) - 1)))
        self.run(self._send(self.living[-1 - index], count, joined=joined))

    async def _send(self, stream, count, *, joined=False):
        numbers = range(stream.following, stream.following + count)
        stream.following = numbers[-1] + 1
        self.produced[stream.producer] = max(self.produced[stream.producer], numbers[-1])
        stream.send(numbers, joined=joined)
        await self._idle()

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def cut(self, data):
        """Let a stream be gone, whatever it waits for."""
        stream = data.draw(st.sampled_from(self.living[-4:]))
        self.run(self._cut(stream))

    async def _cut(self, stream):
        stream.is_cut = True
        stream.task.cancel()
        await self._idle()

    def acknowledge(self, producer, sequence):
        """Take note of an acknowledgment, as a relay that then deletes what it kept."""
        assert sequence <= self.produced[producer]
        self.acknowledged[producer] = max(self.acknowledged[producer], sequence)

    async def _watch(self, session):
        """Watch the session, unless it never came to the disk; what was there before is known."""
        if session is None:
            return
        hub = session.hub
        self.viewer = hub.viewer(Demand.asked(-1, 64))
        hub.add(self.viewer, SessionSnapshot().SerializeToString(), hub.position)
        self.shown = {
            producer: await self.store.committed(session.id, producer) or 0
            for producer in PRODUCERS
        }

    # What holds.

    @invariant()
    def nothing_is_missing_or_doubled(self):
        """What is stored of each producer is 1 to its highest number, once; not less than acked."""
        if self.backend is not None and self.session_id:
            self.run(self._check())

    async def _check(self):
        told = await self.store.metrics(self.session_id, MetricsQuery())
        found = {each.name: each for each in told}
        for rank, producer in enumerate(PRODUCERS):
            stored = await self.store.committed(self.session_id, producer) or 0
            assert self.acknowledged[producer] <= stored <= self.produced[producer]
            series = found.get(f"loss/rank{rank}" if rank else "loss")
            steps, values = (list(series.steps), list(series.values)) if series else ([], [])
            assert steps == list(range(1, stored + 1))
            assert values == [number * 10 + rank for number in steps]
            assert self.viewer is None or self._shown(producer) == stored
        session = self.backend.registry.get(self.session_id)
        for producer in session.producers.values() if session is not None else ():
            assert producer.sequences.missing == 0
            assert (producer.sequences.stored or 0) >= self.acknowledged[producer.id]

    def _shown(self, producer):
        """Return the newest step that somebody who watches was shown: each, in order, once."""
        while (data := self.viewer.take(0.0)) is not None:
            for series in WatchSessionResponse.FromString(data).metric_data.series:
                of = PRODUCERS[int(series.name.partition("/rank")[2] or 0)]
                newest = self.shown[of]
                assert list(series.steps) == list(range(newest + 1, newest + 1 + len(series.steps)))
                self.shown[of] += len(series.steps)
        return self.shown[producer]

    @invariant()
    def one_stream_of_a_producer_lives(self):
        """A producer has one stream at most; every other it sent something on was told why."""
        streams = [each for each in self.streams if not each.is_cut]
        bound = [each for each in streams if each.link.producer is not None]
        living = [each for each in bound if not each.link.over]
        assert len({each.producer for each in living}) == len(living)
        assert all(each.link.producer.link is each.link for each in living)
        for stream in bound:
            if stream.link.over and not stream.link.held_back:
                assert stream.farewell in {SUPERSEDED, OVERLAPPING}

    def teardown(self):
        """At the end everyone is served: what was produced is stored, once, and acknowledged."""
        try:
            if self.backend is not None:
                self.run(self._serve_all())
        finally:
            if self.backend is not None:
                self.run(self._kill())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.folder.cleanup()

    async def _serve_all(self):
        self.store.full = False
        self.gate.open.set()
        await self._idle()
        for producer in PRODUCERS:
            await self._register(producer)
        await self._check()
        assert self.acknowledged == self.produced

    def run(self, coroutine):
        """Return what a coroutine returns."""
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, SOON_S))

    async def _idle(self):
        """Wait until everything has happened that can while the gate is as it is."""
        while self._is_working():
            if self.gate.is_working:  # the writer's thread is not to fight for Python's lock
                await asyncio.wait(self.gate.given, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        for task in [each for each in self.registrations if each.done()]:
            self.registrations.discard(task)
            task.result()
        for stream in [each for each in self.streams if each.task.done()]:
            if not stream.task.cancelled():
                stream.task.result()

    def _is_working(self):
        if self.gate.is_working or any(stream.is_working for stream in self.streams):
            return True
        tasks = self.registrations | self.backend.keeper._tasks
        return any(not task.done() and not self.gate.blocks(task) for task in tasks)


SequenceMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@pytest.mark.timeout(300)
class TestSequences(SequenceMachine.TestCase):
    """Each record is kept once, and none that was acknowledged is missing."""


DANGERS = {
    "in flight, and sent again on another stream": [
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.run(machine._send(machine.living[-1], 3)),
        lambda machine: machine.run(machine._opened("p0", 1)),
        lambda machine: machine.turn_the_gate(),
    ],
    "in flight, while the producer registers": [
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.run(machine._send(machine.living[-1], 3)),
        lambda machine: machine.register("p0"),
        lambda machine: machine.run(machine._send(machine.living[-1], 3)),
        lambda machine: machine.turn_the_gate(),
    ],
    "in flight, when the monitor is killed": [
        lambda machine: machine.run(machine._send(machine.living[-1], 2)),
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.run(machine._send(machine.living[-1], 3)),
        lambda machine: machine.kill(really=True),
        lambda machine: machine.register("p0"),
    ],
    "in flight joined, and some of it sent again joined with what follows": [
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.run(machine._send(machine.living[-1], 3, joined=True)),
        lambda machine: machine.run(machine._opened("p0", 4)),
        lambda machine: setattr(machine.living[-1], "following", 2),
        lambda machine: machine.run(machine._send(machine.living[-1], 4, joined=True)),
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.tick(2),
    ],
    "given to the store when the stream broke off, and more is sent": [
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.run(machine._send(machine.living[-1], 3)),
        lambda machine: machine.run(machine._cut(machine.living[-1])),
        lambda machine: machine.turn_the_gate(),
        lambda machine: machine.produced.update(p0=machine.produced["p0"] + 3),
        lambda machine: machine.register("p0"),
    ],
    "registered while the disk was full, and killed once something was kept": [
        lambda machine: machine.register("p1"),
        lambda machine: machine.fill(full=False),
        # That one rank steps changes nothing of the run's state, which would be put on record.
        lambda machine: machine.run(machine._send(machine.living[-1], 2)),
        lambda machine: machine.kill(really=True),
        lambda machine: machine.register("p1"),
    ],
    "not kept, and more is sent when there is room": [
        lambda machine: machine.fill(full=True),
        lambda machine: machine.run(machine._send(machine.living[-1], 2)),
        lambda machine: machine.fill(full=False),
        lambda machine: machine.run(machine._send(machine.living[-1], 2)),
        lambda machine: machine.tick(2),
    ],
}


@pytest.mark.parametrize("danger", DANGERS)
def test_known_dangers_are_met(danger):
    """Chance may miss what is known to be dangerous: each is played once, whatever it finds."""
    machine = SequenceMachine()
    try:
        machine.start()
        machine.fill(full=danger.startswith("registered while the disk was full"))
        machine.register("p0")
        for step in DANGERS[danger]:
            step(machine)
            machine.nothing_is_missing_or_doubled()
            machine.one_stream_of_a_producer_lives()
    finally:
        machine.teardown()
