"""The relay's life: put together, turned round and round, and ended."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from trainmon.channel import EXIT_FINAL, Kind, RelayChannel, Word
from trainmon.config import Settings
from trainmon.manager import get_manager
from trainmon.relay.budget import Budget
from trainmon.relay.clock import ClockOffset
from trainmon.relay.commands import Commands
from trainmon.relay.demand import Demand
from trainmon.relay.encoder import Encoder
from trainmon.relay.epochs import EpochMarks
from trainmon.relay.frame import Frame
from trainmon.relay.handover import Handover
from trainmon.relay.inbox import Inbox
from trainmon.relay.keeper import Keeper
from trainmon.relay.link import Link
from trainmon.relay.liveness import Liveness, TrainerProcess
from trainmon.relay.losses import LossCounter
from trainmon.relay.observers import Observers
from trainmon.relay.outbox import Outbox
from trainmon.relay.pace import Pace
from trainmon.relay.performance import Performance
from trainmon.relay.plugin_failures import PluginFailures
from trainmon.relay.processes import process_began_s
from trainmon.relay.recorder import Recorder
from trainmon.relay.resources import Resources
from trainmon.relay.run_state import RunState
from trainmon.relay.thrift import Thrift
from trainmon.tasks import Tasks
from trainmon.v1.control_pb2 import CommandResult, ControlCommand
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    Heartbeat,
    RegisterTrainingSessionRequest,
    SessionConfig,
)

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

#: Scalars come without a call: how long to wait for them while somebody watches steps, and else.
#: What is found is on disk, or in memory where no disk works, at the end of the same turn. The work
#: of a turn comes on top of the wait, and both together are to stay within law 3's 100 ms.
_WATCHED_TURN_S, _TURN_S = 0.033, 0.08
#: Part of the ring that may wait for scalars that are held to be merged.
_HELD_DIVISOR = 4
#: Without a step for so long the training counts as idle, and is looked at less often.
_IDLE_AFTER_NS = 1_000_000_000
_TERMINATE_S = 2.0
#: How long the last state waits for the last pictures to be encoded.
_LAST_PICTURES_S = 1.0
#: A process that dies closes its end of the wake-up socket a moment before it is gone, and a signal
#: to every process of a job reaches the relay a moment before the training has died of it.
_DEATH_GRACE_S = 1.0
_OBSERVERS_S = 1.0


class _Phase(Enum):
    """Where the relay stands in its life."""

    LIVE = auto()
    """The training runs, or may."""
    CLOSING = auto()
    """The training has ended or is gone: what is left is delivered."""
    LEAVING = auto()
    """Let go, or told to go, by a training that lives: what is at hand is delivered."""


class Relay:
    """One relay; build it in a running event loop and await :meth:`run`.

    Args:
        channel: Shared with the training.
        wake: Connected to the training; a byte is a call to look, its end that the other is gone.
        hello: What the training told at this relay's start.
        settings: As the training has them.
        keeper: Has the spool, open where that could be done.
    """

    def __init__(
        self,
        channel: RelayChannel,
        wake: socket.socket,
        hello: Mapping[str, Any],
        settings: Settings,
        keeper: Keeper,
    ) -> None:
        self._channel, self._wake, self._settings = channel, wake, settings
        self._keeper = keeper
        block = channel.block
        self._words = block.words
        self._run_state = RunState(hello)
        self._losses = LossCounter(block)
        self._outbox = Outbox(settings.outbox_bytes, self._losses, keeper.spool, keeper.failed)
        self._pace = Pace()
        self._liveness = Liveness(block, settings.stall_after_s)
        self._trainer = TrainerProcess(self._run_state.registration.pid)
        self._trainer_began_s = process_began_s(self._trainer.pid)
        manager = get_manager("relay")
        self._observers = Observers(manager, self._run_state.session, self._losses)
        self._recorder = Recorder(
            self._run_state, self._outbox, self._losses, self._pace, self._liveness, self._observers
        )
        self._commands = Commands(channel, self._wake_trainer, self._answer)
        self._recorder.commands = self._commands
        self._clock = ClockOffset()
        self._performance = Performance(block, self._pace, self._losses, self._clock)
        self._resources = Resources(self._trainer.pid)
        self._thrift = Thrift()
        self._demand = Demand(block, Budget(settings.overhead_budget), self._thrift)
        self._encoder = Encoder(channel.slots, self._losses, self._deliver, self._recorder.note)
        keeper.show_by(self._recorder.note)
        PluginFailures(manager, self._losses, self._recorder.note)
        self._encoder.labels = tuple(self._run_state.registration.class_names)
        if manager.implements("trainmon_render_batch"):
            session = self._run_state.session
            self._encoder.render = lambda event: manager.render_batch(session, event)
        producer_id = self._run_state.registration.producer_id
        self._link = Link(settings, producer_id, self._outbox, self, self._losses, self._clock)
        self._follow()
        self._inbox = Inbox(channel.records, self._takers(), self._losses, self._recorder.before)
        self._tasks = Tasks()
        self._turn = asyncio.Event()
        self._phase = _Phase.LIVE
        self._deadline_s = self._pictures_until_s = 0.0
        self._exit_code = EXIT_FINAL
        self._finished = False
        self._told_to_go = False
        #: When to leave a training that lives, ``time.monotonic()``; None: there is no reason.
        self._leave_s: float | None = None
        self._warned: set[str] = set()

    def _takers(self) -> dict[Kind, Any]:
        recorder = self._recorder
        return {
            Kind.STEP: recorder.step,
            Kind.FRAME: lambda fields: self._encoder.submit(fields, self._inbox.begin),
            Kind.EPOCH: recorder.epoch,
            Kind.STATUS: recorder.status,
            Kind.DETAILS: self._detail,
            Kind.RESULT: recorder.result,
            Kind.CLOSE: recorder.close,
        }

    def _follow(self) -> None:
        """Go on where the relay before this one has left off, if there was one."""
        records, spool = self._channel.records, self._keeper.spool
        first = not records.released
        if spool is None or not spool.journal.last:
            records.resume(0)
            if not first:
                self._recorder.follow(None, over=False)
        else:
            records.resume(spool.journal.newest.position)
            left = Handover.unpack(spool.journal.newest.state)
            self._recorder.follow(left.epochs, over=left.over)
            self._losses.restore(left.losses)
        if spool is not None and spool.run is not None:
            self._link.session_id = spool.run.registration.session_id
        if first and not self._run_state.registration.rank:
            self._keeper.offer_others()

    # --- turning round ----------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until everything is done.

        Returns:
            The exit code: EXIT_FINAL where no other relay should follow this one.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(self._wake, self._heard)
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        if self._trainer.descriptor is not None:
            loop.add_reader(self._trainer.descriptor, self._turn.set)
        link = self._tasks.start(self._link.run(), "trainmon-link")
        link.add_done_callback(lambda _: self._turn.set())
        self._observers.started()
        self._keep_run()
        try:
            while not self._done(link):
                self._look()
                await self._wait()
            await self._goodbye(link)
        finally:
            loop.remove_reader(self._wake)
            self._stop_watching_trainer(loop)
            loop.remove_signal_handler(signal.SIGTERM)
            await self._tasks.close()
            await self._encoder.close()
            self._resources.close()
            self._observers.close(_OBSERVERS_S)
            # While the training lives another relay may follow, and goes on with the spool.
            over = self._phase is _Phase.CLOSING or self._link.ended is not None
            self._keeper.end(delivered=over and self._outbox.empty)
        return self._exit_code

    async def _wait(self) -> None:
        """Wait for a call, but not too long: scalars come without one."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._turn_s(), self._turn.set)
        await self._turn.wait()
        timer.cancel()
        self._turn.clear()

    def _turn_s(self) -> float:
        idle_ns = time.monotonic_ns() - self._words[Word.LAST_STEP_NS]
        busy = self._demand.watched and idle_ns < _IDLE_AFTER_NS
        return _WATCHED_TURN_S if busy else _TURN_S

    def _look(self) -> None:
        """Do everything that is due."""
        now_s = time.monotonic()
        self._words[Word.RELAY_ALIVE_NS] = time.monotonic_ns()
        if self._phase is _Phase.LIVE:
            if self._inbox.drain():
                self._turn.set()
            self._watch_trainer(now_s)
        self._advance(now_s)
        self._keep(now_s)
        self._demand.tick(now_s)
        self._encoder.live_quality = self._thrift.quality(self._encoder.quality)
        if self._performance.due(now_s, watched=self._demand.watched):
            resources = self._resources.update(now_s)
            message = self._performance.message(now_s, resources)
            message.picture_limit = self._demand.limit
            self._link.offer_performance(message)
        self._link.take_time(self._phase is _Phase.LIVE and not self._demand.followed)
        self._link.outbox_filled()

    def _keep(self, now_s: float) -> None:
        """Put all that came on disk; then the ring may be written anew, and all of it be sent."""
        records = self._channel.records
        if records.used > records.capacity // _HELD_DIVISOR:
            self._recorder.flush()
        self._recorder.flush_due(now_s)
        spool = self._keeper.open_again(now_s)
        if spool is not None:
            self._outbox.adopt(spool)
            self._keep_run()
        position, marks = self._recorder.kept(records.position)
        self._outbox.commit(position, lambda: self._handover(marks))
        records.release(position)

    def _handover(self, marks: EpochMarks) -> bytes:
        return Handover(marks, self._recorder.over, self._losses.saved()).pack()

    def _keep_run(self) -> None:
        registration = self._run_state.registration
        self._keeper.keep_run(registration, self._link.session_id, self._trainer_began_s)

    def _heard(self) -> None:
        try:
            if not self._wake.recv(4096):
                asyncio.get_running_loop().remove_reader(self._wake)
                self._leave_soon()
        except (BlockingIOError, ConnectionError):
            pass  # nothing there, or gone in a way that the trainer's descriptor tells
        self._turn.set()

    def _wake_trainer(self) -> None:
        with suppress(OSError):  # full: it has calls enough; gone: noticed elsewhere
            self._wake.send(b"\1")

    # --- the end ----------------------------------------------------------------------------------

    def _watch_trainer(self, now_s: float) -> None:
        if self._recorder.closing:
            self._commands.over("the training has ended")
            self._end(_Phase.CLOSING, now_s + self._linger_s())
        elif not self._trainer.alive:
            self._inbox.drain_all()
            if not self._recorder.closing:
                self._recorder.died(self._trainer.pid)
                self._commands.over("the training process died")
            self._end(_Phase.CLOSING, now_s + self._linger_s())
        elif self._leave_s is not None and now_s > self._leave_s:
            # The training lives, and may go on with another relay.
            self._end(_Phase.LEAVING, now_s + _TERMINATE_S)

    def _linger_s(self) -> float:
        linger_s = self._settings.relay_linger_s
        return min(linger_s, _TERMINATE_S) if self._told_to_go else linger_s

    def _leave_soon(self) -> None:
        """Leave, unless the training turns out to have died: what ends us may have ended it."""
        if self._leave_s is None:
            self._leave_s = time.monotonic() + _DEATH_GRACE_S

    def _stop_watching_trainer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._trainer.descriptor is not None:
            loop.remove_reader(self._trainer.descriptor)
            self._trainer.close()

    def _terminate(self) -> None:
        self._told_to_go = True
        self._exit_code = 0
        if self._phase is _Phase.LIVE:
            self._leave_soon()
        else:
            self._deadline_s = min(self._deadline_s, time.monotonic() + _TERMINATE_S)
        self._turn.set()

    def _end(self, phase: _Phase, deadline_s: float) -> None:
        self._phase, self._deadline_s = phase, deadline_s
        self._pictures_until_s = time.monotonic() + _LAST_PICTURES_S
        # A process that is gone stays readable, and would keep this loop busy.
        self._stop_watching_trainer(asyncio.get_running_loop())
        self._turn.set()

    def _advance(self, now_s: float) -> None:
        """Keep the last state once the last picture is encoded."""
        if self._phase is _Phase.LIVE or self._finished:
            return
        if not self._encoder.idle and now_s < self._pictures_until_s:
            return
        self._finished = True
        self._recorder.flush()
        self._recorder.finish()

    def _done(self, link: asyncio.Task[None]) -> bool:
        if link.done():
            self._tell_end(link)
            return True
        if self._phase is _Phase.LIVE:
            return False
        if self._finished and self._outbox.empty:
            self._words[Word.DELIVERED] = 1
            return True
        return time.monotonic() > self._deadline_s

    def _tell_end(self, link: asyncio.Task[None]) -> None:
        """Say why the monitor wants nothing more of this relay."""
        if link.exception() is not None:  # our own fault: another relay shall try
            self._exit_code = 1
            _log.warning("the link broke: %r", link.exception())
            return
        self._keep(time.monotonic())
        self._outbox.close()
        if self._link.ended is not None and (self._phase is _Phase.LIVE or self._outbox.count):
            _log.warning(
                "the monitor at %s wants nothing more of this run: %s; it is no longer shown%s%s",
                self._settings.monitor,
                self._link.ended.message,
                ", training goes on" if self._phase is _Phase.LIVE else "",
                self._told_rest("; {records} that it does not have stay in {folder}"),
            )

    def _told_rest(self, text: str) -> str:
        """Tell of what is undelivered and on disk; empty: nothing is."""
        count = self._outbox.count - self._outbox.unwritten
        return text.format(records=_records(count), folder=self._keeper.folder) if count else ""

    def _told_lost(self) -> str:
        """Tell of what is undelivered and could not be written; empty: nothing is."""
        count = self._outbox.unwritten
        return f"; {_records(count)} that could not be written to disk are lost" if count else ""

    async def _goodbye(self, link: asyncio.Task[None]) -> None:
        """Close the stream politely where everything was said."""
        if self._outbox.empty:
            self._link.finish()
            await asyncio.wait((link,), timeout=_TERMINATE_S)
        elif self._phase is _Phase.CLOSING and self._link.ended is None:
            _log.warning(
                "%s of %s could not be delivered to the monitor at %s within %g s "
                "(TRAINMON_RELAY_LINGER): %s%s%s",
                _records(self._outbox.count),
                self._run_state.registration.session_name or "this run",
                self._settings.monitor,
                self._linger_s(),
                self._link.last_loss or "it acknowledges nothing",
                self._told_rest("; what is in {folder} waits there for `trainmon sync`"),
                self._told_lost(),
            )

    # --- pictures and details ---------------------------------------------------------------------

    def _deliver(self, frame: Frame, batch: BatchData) -> None:
        """Send an encoded frame: as a key frame, live, or both where the first would be late."""
        if self._finished:  # the monitor takes nothing after the last state
            self._losses.add("picture", "relay_busy")
            return
        prompt = self._link.up and not self._outbox.lagging
        kept = frame.key_frame and self._recorder.key_frame(batch)
        if kept and frame.live and prompt:
            self._thrift.offered(late=self._link.supersede_picture())
        elif frame.live:
            self._thrift.offered(late=self._link.offer_picture(batch))
        self._link.outbox_filled()
        self._turn.set()

    def _detail(self, fields: Mapping[str, Any]) -> None:
        self._recorder.details(fields)
        self._encoder.labels = tuple(self._run_state.registration.class_names)
        self._keep_run()

    def _answer(self, result: CommandResult) -> None:
        """Keep what became of a command, and show it at once where its turn comes late."""
        self._recorder.answer(result)
        if self._outbox.lagging:
            self._link.offer_result(result)
        self._turn.set()

    # --- what the link asks and tells -------------------------------------------------------------

    def registration(self) -> RegisterTrainingSessionRequest:
        """Return the run as it is known now."""
        return self._run_state.registration

    def heartbeat(self) -> Heartbeat:
        """Return what is seen of the training now."""
        now_ns = time.monotonic_ns()
        return Heartbeat(
            trainer=self._liveness.judge(now_ns, self._pace.median_step_s()),
            last_step_age_ms=self._liveness.step_age_ms(now_ns),
        )

    def linked(self, *, anew: bool) -> None:
        """The monitor has registered us."""
        self._demand.found()
        self._recorder.announce(anew=anew)
        self._keep_run()
        self._turn.set()

    def configured(self, config: SessionConfig) -> None:
        """The monitor wants this from now on."""
        self._demand.want(config)
        self._encoder.quality = min(max(config.image_quality or 85, 1), 95)
        self._encoder.max_bytes = config.max_message_bytes
        self._performance.every_n_batches = max(1, config.performance_every_n_batches or 10)

    def commanded(self, command: ControlCommand) -> None:
        """Somebody asks for something."""
        self._commands.receive(command)
        self._link.outbox_filled()

    def unlinked(self) -> None:
        """The link is lost."""
        self._demand.lost()

    def acknowledged(self) -> None:
        """Something has reached the monitor for good."""
        if self._phase is not _Phase.LIVE:
            self._turn.set()

    def picture_sent(self) -> None:
        """A picture is on its way."""
        self._performance.pictures.add(time.monotonic())

    def warned(self, kind: str, text: str) -> None:
        """Say what is wrong, once of a kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s", text)


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
