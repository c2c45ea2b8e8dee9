"""``trainmon sessions``: what the monitor knows, as a table; and what it is to forget."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trainmon.cli.choose import states
from trainmon.cli.where import address_of, monitor_option

if TYPE_CHECKING:
    from trainmon.v1.dashboard_pb2 import ListSessionsResponse, SessionState, SessionSummary

__all__ = ["listed", "row_of", "sessions"]

#: The heads of a table of sessions.
HEADINGS = ("SESSION", "NAME", "FRAMEWORK", "STATE", "EPOCH", "STEP", "LOSS", "BATCHES/S")


class _Group(click.Group):
    """The list, and its subcommands, which are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._fill()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self._fill()
        return super().get_command(ctx, cmd_name)

    def _fill(self) -> None:
        if not self.commands:
            from trainmon.cli.forget import prune, rm

            self.add_command(rm)
            self.add_command(prune)


@click.group(
    cls=_Group,
    invoke_without_command=True,
    epilog="Exit status: 0 where all went well, 1 where no monitor answers or it refuses, 2 where "
    "the command is wrong.",
)
@monitor_option
@click.option("--state", "wanted", type=states, help="Only those in these states: running,died.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array instead of a table.")
@click.pass_context
def sessions(
    ctx: click.Context,
    monitor: str | None,
    wanted: frozenset[SessionState] | None,
    *,
    as_json: bool,
) -> None:
    """List the sessions of a monitor, the newest first."""
    if ctx.invoked_subcommand is not None:
        if wanted is not None or as_json:
            raise click.UsageError(f"options go after `{ctx.invoked_subcommand}`")
        ctx.obj = monitor
        return
    address = address_of(monitor)
    response = asyncio.run(listed(address))
    chosen = [each for each in response.sessions if wanted is None or each.state in wanted]
    if as_json:
        click.echo(json.dumps([_as_dict(each) for each in chosen], indent=2, allow_nan=False))
    elif chosen:
        tell_sessions(chosen)
    elif response.sessions:
        click.echo(f"none of the {len(response.sessions)} sessions is in such a state")
    else:
        click.echo(f"the monitor at {address} knows no sessions yet")


async def listed(address: str) -> ListSessionsResponse:
    """Return what a monitor lists."""
    from trainmon.cli.client import Client

    async with Client(address) as client:
        return await client.sessions()


def tell_sessions(chosen: Sequence[SessionSummary], *, err: bool = False) -> None:
    """Write a table of sessions."""
    from trainmon.cli.text import aligned

    for line in aligned([HEADINGS, *map(row_of, chosen)]):
        click.echo(line, err=err)


def row_of(summary: SessionSummary) -> tuple[str, ...]:
    """Return a session's cells, for :data:`HEADINGS`."""
    from trainmon.cli.text import printable, state_name

    epoch = str(summary.epoch + 1)
    if summary.HasField("total_epochs"):
        epoch = f"{epoch}/{summary.total_epochs}"
    return (
        summary.session_id,
        printable(summary.session_name) or "-",
        printable(summary.framework) or "-",
        state_name(summary.state),
        epoch,
        str(summary.global_step) if summary.HasField("global_step") else "-",
        f"{summary.loss:.4g}" if summary.HasField("loss") else "-",
        f"{summary.current_fps:.1f}",
    )


def _as_dict(summary: SessionSummary) -> dict[str, Any]:
    """Return a session for other programs: null is unknown, times are ms since the epoch."""
    from trainmon.cli.text import state_name

    unset_is_none = ("total_epochs", "batches_per_epoch", "global_step", "loss", "ended_ms")
    optional = {
        name: getattr(summary, name) if summary.HasField(name) else None for name in unset_is_none
    }
    fields = {
        "session_id": summary.session_id,
        "session_name": summary.session_name,
        "framework": summary.framework,
        "state": state_name(summary.state).replace(" ", "-"),
        "status_message": summary.status_message,
        "epoch": summary.epoch,
        "batch_index": summary.batch_index,
        **optional,
        "batches_per_second": summary.current_fps,
        "average_batches_per_second": summary.average_fps,
        "world_size": summary.world_size,
        "hostnames": sorted({rank.hostname for rank in summary.ranks}),
        "started_ms": summary.started_ms,
        "last_seen_ms": summary.last_seen_ms,
        "viewers": summary.viewers,
    }
    return {name: _jsonable(value) for name, value in fields.items()}


def _jsonable(value: Any) -> Any:
    """Return a value, or its text where JSON cannot write it: NaN and the infinities."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
