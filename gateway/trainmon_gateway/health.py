"""Whether the gateway lives, and whether it is of use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from trainmon.v1.dashboard_pb2 import ListSessionsRequest
from trainmon_gateway.errors import CallError
from trainmon_gateway.http import Scope, Send, respond
from trainmon_gateway.security import page_headers
from trainmon_gateway.upstream import Upstream

__all__ = ["Health"]

#: How long the monitor may take to answer, in seconds.
READY_TIMEOUT_S = 2.0


class Health:
    """Answers ``/healthz`` (this process lives, with its counts) and ``/readyz``.

    Ready means that the monitor answers.

    Args:
        upstream: The monitor.
        counts: What was counted so far.
        numbers: Returns what is going on now.
    """

    pages = frozenset({"/healthz", "/readyz"})

    def __init__(
        self, upstream: Upstream, counts: Counter[str], numbers: Callable[[], Mapping[str, int]]
    ) -> None:
        self._upstream = upstream
        self._counts = counts
        self._numbers = numbers

    async def __call__(self, scope: Scope, send: Send) -> None:
        """Answer a GET or HEAD of one of the pages."""
        if scope["path"] == "/healthz":
            status, text = 200, self._lives()
        else:
            status, text = await self._ready()
        headers = page_headers(b"text/plain; charset=utf-8")
        await respond(send, status, headers, text.encode("utf-8"))

    def _lives(self) -> str:
        lines = {**self._numbers(), **self._counts}
        return "ok\n" + "".join(f"{name} {value}\n" for name, value in sorted(lines.items()))

    async def _ready(self) -> tuple[int, str]:
        request = ListSessionsRequest(max_sessions=1).SerializeToString()
        try:
            await self._upstream.call("ListSessions", request, READY_TIMEOUT_S)
        except CallError as error:
            return 503, f"not ready: {error.message}\n"
        return 200, f"ready: the monitor at {self._upstream.address} answers\n"
