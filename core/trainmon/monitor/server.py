"""The monitor as a server: a socket, the two services, a clock that ticks, and a graceful end."""

from __future__ import annotations

import asyncio
import errno
import logging
from types import TracebackType
from typing import TYPE_CHECKING

from trainmon.config import Settings
from trainmon.errors import TrainmonError
from trainmon.monitor.backend import TICK_S, Backend
from trainmon.monitor.clock import Clock
from trainmon.monitor.dashboard import DashboardService
from trainmon.monitor.framing import ClosingServer
from trainmon.monitor.store.memory import MemoryStore
from trainmon.monitor.telemetry import TelemetryService

if TYPE_CHECKING:
    from typing_extensions import Self

    from trainmon.manager import PluginManager
    from trainmon.monitor.store.base import Store

__all__ = ["CLOSE_S", "CannotListenError", "MonitorServer"]

#: How long open streams may take to end with a status, in seconds.
CLOSE_S = 2.0

_log = logging.getLogger(__name__)


class CannotListenError(TrainmonError):
    """The monitor cannot listen where it should.

    Args:
        host: Where.
        port: Where.
        error: What the system said.
    """

    def __init__(self, host: str, port: int, error: OSError) -> None:
        self.host = host
        self.port = port
        if error.errno == errno.EADDRINUSE:
            reason = (
                f"port {port} on {host} is in use, perhaps by another monitor: stop that one, or "
                "choose another port with --port (0 takes a free one)"
            )
        else:
            reason = (
                f"cannot listen on port {port} of {host} ({error.strerror or error}): give --host "
                "an address of this machine and --port one you may use"
            )
        super().__init__(reason)


class MonitorServer:
    """A monitor that listens while the ``async with`` lasts.

    Args:
        settings: The settings; None: from the environment.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        store: Where history is kept; None: in memory. Closed at the end.
        plugins: Who is told what happens; None: nobody.
        clock: The clocks.

    Raises:
        CannotListenError: On entering.
        PluginError: On entering: a plugin that may say who may call does not run.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        store: Store | None = None,
        plugins: PluginManager | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environment()
        # A name with two addresses would get two free ports.
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port = port
        self._store = store or MemoryStore(self.settings.history_bytes)
        self.backend = Backend(self.settings, self._store, clock or Clock(), plugins)
        self._server: ClosingServer | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.failed_ticks = 0
        """How often looking after sessions failed; each is in the log."""

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def address(self) -> str:
        """Where it listens: ``host:port``, IPv6 in brackets."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    async def __aenter__(self) -> Self:
        try:
            if self.backend.plugins is not None:
                self.backend.plugins.require_guards()
            await self.backend.start()
        except BaseException:
            await self._store.close()
            raise
        server = ClosingServer([TelemetryService(self.backend), DashboardService(self.backend)])
        try:
            await server.start(self._host, self._port)
        except OSError as error:
            await self._store.close()
            raise CannotListenError(self._host, self._port, error) from None
        self._server = server
        self._port = server.addresses()[0][1]
        self._ticker = asyncio.create_task(self._tick(), name="trainmon monitor ticker")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Take nothing more, end every stream with a status, then every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.stop_listening()
        self.backend.close()
        await self.backend.wait_for_streams(CLOSE_S)
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait({self._ticker})
        server.close()
        server.close_connections()
        await server.wait_closed()
        await self.backend.wait_for_store()
        await self._store.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.backend.tick()
            except Exception:  # noqa: BLE001 - one bad session must not end the care for all
                self.failed_ticks += 1
                _log.exception("looking after sessions failed")
