"""Delivers what a relay that is gone has left, as ``trainmon sync`` does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trainmon import wire
from trainmon.config import Settings
from trainmon.relay.clock import ClockOffset
from trainmon.relay.entry import RecordKind
from trainmon.relay.leftover import Leftover
from trainmon.relay.link import Link
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.tasks import Tasks, within
from trainmon.v1.control_pb2 import CommandResult, CommandState, ControlCommand
from trainmon.v1.telemetry_pb2 import (
    Heartbeat,
    PerformanceData,
    RegisterTrainingSessionRequest,
    SessionConfig,
    TelemetryRequest,
)

__all__ = ["Delivery"]

_log = logging.getLogger(__name__)
#: Without an acknowledgment for so long the monitor takes no more, in seconds.
_STALL_S = 30.0
#: Links lost in a row without one acknowledgment between.
_MOST_LOSSES = 5
_GOODBYE_S = 2.0


class Delivery:
    """Delivers one spool. It is the handler of its own link.

    Args:
        leftover: The spool.
        settings: Whose monitor is to get it.
        progress: Called with the records left, as they become fewer.
    """

    def __init__(
        self, leftover: Leftover, settings: Settings, progress: Callable[[int], None]
    ) -> None:
        self._leftover = leftover
        self._progress = progress
        self._registration = leftover.run.registration
        self._losses = LossCounter()
        self._losses.restore(leftover.handover.losses)
        self._outbox = Outbox(
            settings.outbox_bytes, self._losses, leftover.spool, self._disk_failed
        )
        self._link = Link(
            settings,
            self._registration.producer_id,
            self._outbox,
            self,
            self._losses,
            ClockOffset(),
        )
        self._link.session_id = self._registration.session_id
        self._news = asyncio.Event()
        self._lost = 0
        self._disk_error = ""
        self._warned: set[str] = set()
        self.new = False
        """Whether the monitor knew nothing of this producer."""
        self.trouble = ""
        """Why not everything was delivered; empty: it was."""

    @property
    def session_id(self) -> str:
        """Where the records went."""
        return self._link.session_id

    @property
    def left(self) -> int:
        """Records still to be delivered."""
        return self._outbox.count

    async def run(self) -> bool:
        """Deliver everything; False: not all could be, and stays in the spool."""
        self._leftover.tell_death(self._outbox)
        tasks = Tasks()
        link = tasks.start(self._link.run(), "trainmon-sync-link")
        link.add_done_callback(lambda _: self._news.set())
        try:
            while not self._outbox.empty or not self._link.session_id:
                if link.done():
                    break
                if not await self._news_came() or self._lost >= _MOST_LOSSES:
                    break
            if self._outbox.empty:
                self._link.finish()
                await asyncio.wait({link}, timeout=_GOODBYE_S)
        finally:
            await tasks.close()
        self._judge(link)
        return self._outbox.empty

    async def _news_came(self) -> bool:
        """Wait until something happens; False: nothing did for too long."""
        try:
            await within(_STALL_S, self._news.wait())
        except asyncio.TimeoutError:
            return False
        self._news.clear()
        return True

    def _judge(self, link: asyncio.Task[None]) -> None:
        if self._outbox.empty:
            return
        if self._link.ended is not None:
            self.trouble = f"the monitor wants nothing of it: {self._link.ended.message}"
        elif link.done() and not link.cancelled() and link.exception() is not None:
            self.trouble = f"the link broke: {link.exception()!r}"
        elif self._outbox.failing:
            self.trouble = (
                f"its folder cannot be written ({self._disk_error}): make room there, for which "
                "records are sent is noted in it before they are"
            )
        else:
            self.trouble = self._link.last_loss or "the monitor acknowledges nothing"

    def _disk_failed(self, error: OSError) -> None:
        self._disk_error = error.strerror or str(error)
        _log.warning(
            "%s fails: %s; what it holds is delivered as far as it can be read",
            self._leftover.spool.folder,
            error.strerror or error,
        )

    # --- what the link asks and tells -------------------------------------------------------------

    def registration(self) -> RegisterTrainingSessionRequest:
        """Return the run as its relay knew it last."""
        return self._registration

    def heartbeat(self) -> Heartbeat:
        """Tell that this end lives; of the training nothing is seen."""
        return Heartbeat()

    def linked(self, *, anew: bool) -> None:
        """Tell what was refused while nobody listened."""
        self.new |= anew
        counts = self._losses.messages()
        if counts:
            self._link.offer_performance(PerformanceData(losses=counts, timestamp_ms=wire.now_ms()))
        self._news.set()

    def configured(self, config: SessionConfig) -> None:
        """Nothing here depends on what viewers want."""

    def commanded(self, command: ControlCommand) -> None:
        """Reject what comes too late."""
        result = CommandResult(
            command_id=command.command_id,
            state=CommandState.COMMAND_STATE_REJECTED,
            message="the training process is gone",
            timestamp_ms=wire.now_ms(),
        )
        request = TelemetryRequest(command_result=result, timestamp_ms=result.timestamp_ms)
        self._outbox.add(RecordKind.RESULT, request)
        newest = self._leftover.spool.journal.newest
        self._outbox.commit(newest.position, self._leftover.handover.pack)
        self._link.outbox_filled()

    def unlinked(self) -> None:
        """Count it: after a few without any progress it is given up."""
        self._lost += 1
        self._news.set()

    def warned(self, kind: str, text: str) -> None:
        """Say what is wrong, once of a kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s", text)

    def acknowledged(self) -> None:
        """Something has reached the monitor for good."""
        self._lost = 0
        self._progress(self._outbox.count)
        self._news.set()

    def picture_sent(self) -> None:
        """Live pictures are not sent from here."""
