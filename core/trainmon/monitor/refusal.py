"""What the monitor says no to: the reason, and the gRPC status it is told with."""

from __future__ import annotations

from grpclib.const import Status

from trainmon.errors import TrainmonError

__all__ = ["MAX_REASON", "RefusedError"]

#: Characters of a reason: it travels in a header, and clients take few KiB of headers.
MAX_REASON = 1000


class RefusedError(TrainmonError):
    """A request that is not carried out. The caller's affair, unless the message says otherwise.

    Args:
        status: The gRPC status it is answered with.
        reason: What, which limit, which value, what to do.
    """

    def __init__(self, status: Status, reason: str) -> None:
        self.status = status
        self.reason = reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
        super().__init__(self.reason)
