"""How every call comes in: who calls, and what a refusal looks like on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor.framing import finish, sender_of
from trainmon.monitor.refusal import RefusedError

if TYPE_CHECKING:
    from grpclib.server import Stream

    from trainmon.monitor.backend import Backend
    from trainmon.monitor.outlet import Outlet

__all__ = [
    "UNKNOWN_CALLER",
    "answering_refusals",
    "is_known_caller",
    "require_known_caller",
    "run_outlet",
]


@contextmanager
def answering_refusals() -> Iterator[None]:
    """Answer a RefusedError with its status and reason."""
    try:
        yield
    except RefusedError as error:
        raise GRPCError(error.status, error.reason) from None


def is_known_caller(backend: Backend, stream: Stream[Any, Any]) -> bool:
    """Return whether a plugin vouches for the caller, or none is asked to."""
    plugins = backend.plugins
    if plugins is None or not plugins.requires_authentication:
        return True
    texts = {}
    if stream.metadata is not None:
        pairs = stream.metadata.items()
        texts = {name.lower(): value for name, value in pairs if isinstance(value, str)}
    return plugins.authenticate(texts) is not None


def require_known_caller(backend: Backend, stream: Stream[Any, Any]) -> None:
    """Refuse a caller nobody knows.

    Raises:
        GRPCError: UNAUTHENTICATED.
    """
    if not is_known_caller(backend, stream):
        raise GRPCError(Status.UNAUTHENTICATED, UNKNOWN_CALLER)


async def run_outlet(outlet: Outlet, stream: Stream[Any, Any]) -> None:
    """Send what an outlet holds until it ends, and its status last."""
    try:
        await outlet.run(sender_of(stream))
    except GRPCError as error:
        finish(stream, error.status, error.message or "")


UNKNOWN_CALLER = "no plugin knows this caller: send the credentials that the monitor's plugin wants"
