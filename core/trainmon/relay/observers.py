"""Observer plugins, in a thread of their own: one that is slow delays no heartbeat."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from trainmon.events import SessionInfo
from trainmon.manager import PluginManager
from trainmon.relay.losses import LossCounter

__all__ = ["Observers"]

#: Batches that may wait; of more, the newest win.
_MAX_BATCHES = 1000
#: Other events that may wait.
_MAX_EVENTS = 1000
_HOOKS = (
    "trainmon_session_started",
    "trainmon_session_ended",
    "trainmon_batch_ended",
    "trainmon_epoch_ended",
    "trainmon_control_applied",
)


class Observers:
    """Calls observer hooks in order. Without any observer it has no thread and costs nothing.

    Args:
        manager: The plugins of this process.
        session: The run.
        losses: Where what an observer was too slow for is counted.
    """

    def __init__(self, manager: PluginManager, session: SessionInfo, losses: LossCounter) -> None:
        self._manager = manager
        self._session = session
        self._losses = losses
        self._queue: deque[tuple[Callable[[SessionInfo, Any], None], Any]] = deque()
        self._batches = 0
        self._ready = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._wants = frozenset(hook for hook in _HOOKS if manager.implements(hook))
        if self._wants:
            self._thread = threading.Thread(target=self._work, name="trainmon-observers")
            self._thread.daemon = True  # one that hangs must not keep the relay alive
            self._thread.start()

    def started(self) -> None:
        """The run has started, or this relay has taken over."""
        if "trainmon_session_started" in self._wants:
            self._put(lambda session, _: self._manager.session_started(session), None)

    def ended(self, update: Any) -> None:
        """The run has ended with a StatusUpdate."""
        if "trainmon_session_ended" in self._wants:
            self._put(self._manager.session_ended, update)

    def epoch(self, data: Any) -> None:
        """An epoch has ended: EpochData."""
        if "trainmon_epoch_ended" in self._wants:
            self._put(self._manager.epoch_ended, data)

    def result(self, result: Any) -> None:
        """A command has reached its end: CommandResult."""
        if "trainmon_control_applied" in self._wants:
            self._put(self._manager.control_applied, result)

    def batch(self, step: Any) -> None:
        """A batch has ended: StepRecord."""
        if "trainmon_batch_ended" not in self._wants:
            return
        with self._ready:
            if self._batches >= _MAX_BATCHES:
                self._drop_oldest_batch()
            self._batches += 1
            self._queue.append((self._manager.batch_ended, step))
            self._ready.notify()

    def _put(self, call: Callable[[SessionInfo, Any], None], event: Any) -> None:
        with self._ready:
            if len(self._queue) - self._batches >= _MAX_EVENTS:
                self._losses.add("observer", "queue_full")
                return
            self._queue.append((call, event))
            self._ready.notify()

    def _drop_oldest_batch(self) -> None:
        for index, (call, _) in enumerate(self._queue):
            if call == self._manager.batch_ended:
                del self._queue[index]
                self._batches -= 1
                self._losses.add("observer", "queue_full")
                return

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._closed:
                    self._ready.wait()
                if not self._queue:
                    return
                call, event = self._queue.popleft()
                self._batches -= call == self._manager.batch_ended
            call(self._session, event)  # the manager catches and counts what a plugin raises

    def close(self, timeout_s: float) -> None:
        """Let the queue run empty, but wait no longer than ``timeout_s``."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
