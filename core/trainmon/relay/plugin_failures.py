"""What plugins do wrong in a relay: counted among the losses, and told on the page once each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trainmon._guard import describe
from trainmon.manager import PluginManager, PluginState
from trainmon.relay.losses import LossCounter

__all__ = ["PluginFailures"]

_log = logging.getLogger(__name__)
_BROKEN = frozenset({PluginState.FAILED, PluginState.INCOMPATIBLE})
#: Failures told at most: people read no more.
_MOST_TOLD = 50


class PluginFailures:
    """Watches the plugins of this process; build it in a running event loop.

    Args:
        manager: The plugins.
        losses: Where failures are counted.
        note: Takes what is to be told to people, in the event loop.
    """

    def __init__(
        self, manager: PluginManager, losses: LossCounter, note: Callable[[str], None]
    ) -> None:
        self._manager = manager
        self._losses = losses
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._told: set[str] = set()
        for row in manager.rows():
            if row.state in _BROKEN:
                losses.add("observer", "not_loaded")
                text = f"plugin {row.name} does not run: {row.last_error}"
                self._loop.call_soon(note, text)  # once the relay is put together
        manager.watch_all(self, self._failed)

    def _failed(self, plugin: str, hook: str, error: BaseException) -> None:
        """Called in the thread in which the hook was."""
        self._losses.add("observer", "exception")
        self._tell(f"plugin {plugin} raised in {hook}: {describe(error)}; all else goes on")
        if not self._manager.is_active(plugin):
            self._tell(f"plugin {plugin} is quarantined: it is asked no more in this run")

    def _tell(self, text: str) -> None:
        if text in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(text)
        self._loop.call_soon_threadsafe(self._note, text)
        _log.warning("%s (said once)", text)
