"""How every call comes in: who calls, and what a refusal looks like on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor.framing import finish, sender_of
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.store.base import StoreReadError
from trainmon.plugin import Caller

if TYPE_CHECKING:
    from grpclib.server import Stream

    from trainmon.monitor.backend import Backend
    from trainmon.monitor.outlet import Outlet

__all__ = [
    "UNKNOWN_CALLER",
    "answering_refusals",
    "caller_of",
    "require_known_caller",
    "run_outlet",
]


@contextmanager
def answering_refusals(*, unreadable: Status = Status.DATA_LOSS) -> Iterator[None]:
    """Answer a RefusedError with its status and reason, and what cannot be read with the reason.

    Args:
        unreadable: The status where the history cannot be read.
    """
    try:
        yield
    except RefusedError as error:
        raise GRPCError(error.status, error.reason) from None
    except StoreReadError as error:
        raise GRPCError(unreadable, error.reason) from None


#: Whoever calls a monitor that asks nobody who they are.
_ANYONE = Caller("")


def caller_of(backend: Backend, stream: Stream[Any, Any]) -> Caller | None:
    """Return who calls, without a name where no plugin is asked; None: no plugin knows them."""
    plugins = backend.plugins
    if plugins is None or not plugins.requires_authentication:
        return _ANYONE
    texts = {}
    if stream.metadata is not None:
        pairs = stream.metadata.items()
        texts = {name.lower(): value for name, value in pairs if isinstance(value, str)}
    return plugins.authenticate(texts)


def require_known_caller(backend: Backend, stream: Stream[Any, Any]) -> Caller:
    """Return who calls, and refuse a caller nobody knows.

    Raises:
        GRPCError: UNAUTHENTICATED.
    """
    caller = caller_of(backend, stream)
    if caller is None:
        raise GRPCError(Status.UNAUTHENTICATED, UNKNOWN_CALLER)
    return caller


async def run_outlet(outlet: Outlet, stream: Stream[Any, Any]) -> None:
    """Send what an outlet holds until it ends, and its status last."""
    try:
        await outlet.run(sender_of(stream))
    except GRPCError as error:
        finish(stream, error.status, error.message or "")


UNKNOWN_CALLER = "no plugin knows this caller: send the credentials that the monitor's plugin wants"
