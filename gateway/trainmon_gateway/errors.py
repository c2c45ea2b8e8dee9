"""What ends a call with a status."""

from __future__ import annotations

from grpclib.const import Status

from trainmon.errors import TrainmonError

__all__ = ["CallError"]


class CallError(TrainmonError):
    """A call ends with this gRPC status; viewer and monitor both know it by status and message.

    Args:
        status: Any status but OK.
        message: For people: what, which limit, which value, whose fault, what to do.
    """

    def __init__(self, status: Status, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(f"{status.name}: {message}")
