"""What trainmon raises, and the one table of error codes and gRPC statuses.

Only ``start_session`` (bad configuration) and ``control_point`` (StopTraining) ever raise into a
training; everything else here is raised in the relay, the monitor, the gateway or the CLI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainmon.v1.telemetry_pb2 import ErrorCode

__all__ = ["ConfigurationError", "HomeLockedError", "PluginError", "StopTraining", "TrainmonError"]


class TrainmonError(Exception):
    """Base of everything trainmon raises."""


class ConfigurationError(TrainmonError, ValueError):
    """A setting or argument cannot be used. The caller's mistake; the message says how to mend it.

    Args:
        setting: Name of the argument or environment variable.
        value: What it was.
        expected: What it should be, as a phrase: ``"a port from 0 to 65535"``.
    """

    def __init__(self, setting: str, value: object, expected: str) -> None:
        self.setting = setting
        self.value = value
        self.expected = expected
        super().__init__(f"{setting} is {value!r}, but should be {expected}")


class HomeLockedError(TrainmonError):
    """Another monitor already serves this TRAINMON_HOME.

    Args:
        home: The data directory.
        holder: Who holds it, as that monitor wrote it: process id and address.
    """

    def __init__(self, home: str, holder: str) -> None:
        self.home = home
        self.holder = holder
        super().__init__(
            f"a monitor already serves {home} ({holder}): use that one, stop it, "
            "or set TRAINMON_HOME to another folder"
        )


class PluginError(TrainmonError):
    """A plugin could not be loaded or used; mostly kept as a row of ``trainmon plugins``."""


class StopTraining(Exception):  # noqa: N818 - a request to leave the loop, not an error
    """Someone asked the run to stop. ``with session`` swallows it.

    Args:
        command_id: The command that asked.
        issued_by: Who asked; empty when unknown.
    """

    def __init__(self, command_id: str = "", issued_by: str = "") -> None:
        self.command_id = command_id
        self.issued_by = issued_by
        super().__init__(f"training stopped on request of {issued_by or 'the dashboard'}")


#: gRPC status name by ErrorCode name, for the codes that end a stream.
STREAM_ENDING_STATUS = {
    "ERROR_CODE_CONNECTION_TIMEOUT": "DEADLINE_EXCEEDED",
    "ERROR_CODE_UNKNOWN_SESSION": "NOT_FOUND",
    "ERROR_CODE_SESSION_CLOSED": "FAILED_PRECONDITION",
    "ERROR_CODE_SESSION_SUPERSEDED": "FAILED_PRECONDITION",
    "ERROR_CODE_MESSAGE_TOO_LARGE": "RESOURCE_EXHAUSTED",
    "ERROR_CODE_UNSUPPORTED_PROTOCOL": "FAILED_PRECONDITION",
    "ERROR_CODE_UNAUTHENTICATED": "UNAUTHENTICATED",
}


def status_of(code: ErrorCode) -> str | None:
    """Return the name of the gRPC status a code ends a stream with; None where it goes on."""
    from trainmon.v1.telemetry_pb2 import ErrorCode as Codes

    return STREAM_ENDING_STATUS.get(Codes.Name(code))
