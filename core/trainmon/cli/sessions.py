"""``trainmon sessions``: what the monitor knows, as a table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trainmon.v1.dashboard_pb2 import ListSessionsResponse, SessionSummary

__all__ = ["sessions"]

_TIMEOUT_S = 5.0
_HEADINGS = ("SESSION", "NAME", "FRAMEWORK", "STATE", "EPOCH", "STEP", "LOSS", "BATCHES/S")
_STATE_PREFIX = "SESSION_STATE_"


@click.command()
@click.option(
    "--monitor", default=None, help="Where the monitor listens: HOST:PORT.  [TRAINMON_MONITOR]"
)
def sessions(monitor: str | None) -> None:
    """List the sessions of a monitor, the newest first."""
    from trainmon.config import Settings

    address = Settings.from_environment(monitor=monitor).monitor
    response = asyncio.run(_list(address))
    if not response.sessions:
        click.echo(f"the monitor at {address} knows no sessions yet")
        return
    rows = [_HEADINGS, *(_row(each) for each in response.sessions)]
    for line in _aligned(rows):
        click.echo(line)


async def _list(address: str) -> ListSessionsResponse:
    from grpclib.client import Channel
    from grpclib.exceptions import GRPCError, StreamTerminatedError

    from trainmon.config import parse_address
    from trainmon.v1.dashboard_grpc import DashboardServiceStub
    from trainmon.v1.dashboard_pb2 import ListSessionsRequest

    host, port = parse_address(address)
    channel = Channel(host, port)
    try:
        stub = DashboardServiceStub(channel)
        return await stub.ListSessions(ListSessionsRequest(), timeout=_TIMEOUT_S)
    except (OSError, asyncio.TimeoutError, StreamTerminatedError) as error:
        raise click.ClickException(
            f"no monitor answers at {address} ({error or 'no answer in time'}): start one with "
            "`trainmon serve`, or say where it is with --monitor"
        ) from error
    except GRPCError as error:
        raise click.ClickException(
            f"the monitor at {address} refused: {error.message} ({error.status.name})"
        ) from error
    finally:
        channel.close()


def _row(summary: SessionSummary) -> tuple[str, ...]:
    from trainmon.v1.dashboard_pb2 import SessionState

    state = SessionState.Name(summary.state).removeprefix(_STATE_PREFIX)
    epoch = str(summary.epoch + 1)
    if summary.HasField("total_epochs"):
        epoch = f"{epoch}/{summary.total_epochs}"
    return (
        summary.session_id,
        _printable(summary.session_name) or "-",
        _printable(summary.framework) or "-",
        state.lower().replace("_", " "),
        epoch,
        str(summary.global_step) if summary.HasField("global_step") else "-",
        f"{summary.loss:.4g}" if summary.HasField("loss") else "-",
        f"{summary.current_fps:.1f}",
    )


def _printable(text: str) -> str:
    """Return a name without what would move a terminal's cursor: any training may choose it."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    table = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
