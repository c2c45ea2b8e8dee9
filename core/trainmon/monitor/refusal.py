"""What the monitor says no to: the reason, and the gRPC status it is told with."""

from __future__ import annotations

from grpclib.const import Status

from trainmon.errors import TrainmonError

__all__ = ["RefusedError"]


class RefusedError(TrainmonError):
    """A request that is not carried out. The caller's affair, unless the message says otherwise.

    Args:
        status: The gRPC status it is answered with.
        reason: What, which limit, which value, what to do.
    """

    def __init__(self, status: Status, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)
