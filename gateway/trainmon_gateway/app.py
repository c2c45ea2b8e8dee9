"""The ASGI application: calls, health and the dashboard on one port."""

from __future__ import annotations

import logging
from collections import Counter

from trainmon_gateway.frames import encode_message
from trainmon_gateway.grpc_web import GrpcWebServer
from trainmon_gateway.health import Health
from trainmon_gateway.http import Receive, Scope, Send, respond
from trainmon_gateway.security import Policy, Refusal, page_headers
from trainmon_gateway.static_files import StaticFiles
from trainmon_gateway.upstream import SERVICE

__all__ = ["App"]

_log = logging.getLogger(__name__)
_CALLS = f"/{SERVICE}/"


class App:
    """Sends each request where it belongs, after the policy has let it pass.

    Args:
        policy: Which requests are served.
        calls: Answers gRPC-Web calls.
        health: Answers ``/healthz`` and ``/readyz``.
        files: Answers everything else.
        counts: Where refusals are counted.
    """

    def __init__(
        self,
        policy: Policy,
        calls: GrpcWebServer,
        health: Health,
        files: StaticFiles,
        counts: Counter[str],
    ) -> None:
        self._policy = policy
        self._calls = calls
        self._health = health
        self._files = files
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path = scope["path"]
        call = path.startswith(_CALLS)
        refusal = self._policy.refusal(scope, call=call)
        if refusal is not None:
            await self._refuse(refusal, send)
        elif call:
            await self._calls(scope, receive, send)
        elif path in self._health.pages:
            await self._health(scope, send)
        else:
            await self._files(scope, send)

    async def _refuse(self, refusal: Refusal, send: Send) -> None:
        self._counts[f"refused_http_{refusal.status}"] += 1
        headers = page_headers(b"text/plain; charset=utf-8")
        # gRPC-Web clients show this header's text; they do not read the body of an error.
        message = encode_message(refusal.text.strip()).encode("ascii")
        more = [*refusal.headers, (b"grpc-message", message)]
        await respond(send, refusal.status, [*headers, *more], refusal.text.encode("utf-8"))
