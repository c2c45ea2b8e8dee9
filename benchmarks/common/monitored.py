"""A monitor of which one can ask what has arrived."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from common.orders import Worker
from trainmon.cli.children import Child, trainmon_command
from trainmon.v1.dashboard_pb2 import ListSessionsRequest, QueryMetricsRequest
from trainmon_gateway.v1.dashboard_pb2_grpc import DashboardServiceStub

__all__ = ["ArrivalError", "Monitored", "monitored"]

_PATIENCE_S = 30.0
_OPTIONS = [("grpc.max_receive_message_length", -1)]


class ArrivalError(Exception):
    """What was logged has not arrived as it was: the measurement says nothing."""


class Monitored:
    """A monitor that runs.

    Args:
        address: Where it listens.
        pid: Its process.
        viewer: Obeys common.seeing.
        stub: To ask it.
    """

    def __init__(self, address: str, pid: int, viewer: Worker, stub: Any) -> None:
        self.address, self.pid = address, pid
        self._viewer = viewer
        self._stub = stub

    def watch(self, name: str, rate: float, edge: int, *, pictures: bool = True) -> None:
        """Have the viewer watch a session, and return once it has what it waits for.

        Args:
            name: Of the session.
            rate: Pictures per second wanted.
            edge: Of a tile, in pixels.
            pictures: Whether there are any to wait for.
        """
        self._viewer.ask(
            address=self.address,
            session_id=self._session(name),
            rate=rate,
            edge=edge,
            pictures=pictures,
        )

    def seen(self, first: int, last: int) -> dict[str, Any]:
        """End the viewer's stream; return how many pictures it has of some steps, and their edges.

        Raises:
            ArrivalError: A picture is not of the step it says it is of.
        """
        seen = self._viewer.ask(end=True)
        if seen["wrong"]:
            raise ArrivalError(
                f"{len(seen['wrong'])} of {len(seen['steps'])} pictures do not show the step they "
                f"are said to be of, the first of step {seen['wrong'][0]}"
            )
        pictures = sum(first <= step < last for step in seen["steps"])
        return {"pictures": pictures, "edge": max(seen["edges"], default=0)}

    def demand_rows(self, name: str, series: Sequence[str], steps: int) -> None:
        """See to it that every step of every series is kept, once and by itself.

        Raises:
            ArrivalError: It is not.
        """
        request = QueryMetricsRequest(session_id=self._session(name), series=series)
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            found = {
                each.name: list(each.steps) for each in self._stub.QueryMetrics(request).series
            }
            if all(found.get(each) == list(range(steps)) for each in series):
                return
            if time.monotonic() > until_s:
                told = {each: len(found.get(each, ())) for each in series}
                raise ArrivalError(f"{name} has logged {steps} steps, and there are {told}")
            time.sleep(0.1)

    def _session(self, name: str) -> str:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            for session in self._stub.ListSessions(ListSessionsRequest()).sessions:
                if session.session_name == name:
                    return str(session.session_id)
            time.sleep(0.05)
        raise ArrivalError(f"no session {name!r} has registered within {_PATIENCE_S:g} s")


@contextmanager
def monitored() -> Iterator[Monitored]:
    """Start a monitor with a store of its own, and a viewer."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environment = {**os.environ, "TRAINMON_HOME": str(Path(home))}
        child = Child("monitor", trainmon_command("serve", "--port", "0"), environment)
        try:
            address = child.announced("monitor")
            child.pass_on(sys.stderr)
            with (
                Worker("common.seeing") as viewer,
                grpc.insecure_channel(address, options=_OPTIONS) as channel,
            ):
                yield Monitored(address, child.pid, viewer, DashboardServiceStub(channel))
        finally:
            child.end()
