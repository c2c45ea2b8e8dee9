"""``trainmon show``: one session as a page of text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trainmon.cli.where import address_of, monitor_option

if TYPE_CHECKING:
    from trainmon.cli.standings import Standing
    from trainmon.v1.dashboard_pb2 import SessionSnapshot

__all__ = ["show"]

#: Series that are shown at most.
_MAX_SERIES = 50


@click.command(
    epilog="Exit status: 0 where all went well, 1 where no monitor answers or there is no such "
    "session, 2 where the command is wrong.",
)
@click.argument("session", metavar="SESSION")
@monitor_option
def show(session: str, monitor: str | None) -> None:
    """Show one session: how far it is, its newest scalars, epochs, commands and errors.

    SESSION is an id, the beginning of one id only, or a name that one session only has.
    """
    from trainmon.cli.page import page

    snapshot, standings, series = asyncio.run(_asked(address_of(monitor), session))
    for line in page(snapshot, standings, series):
        click.echo(line)


async def _asked(address: str, wanted: str) -> tuple[SessionSnapshot, Sequence[Standing], int]:
    """Return a session as it is, how its series stand, and how many it has."""
    from trainmon.cli.choose import find_session
    from trainmon.cli.client import Client
    from trainmon.cli.standings import standings

    async with Client(address) as client:
        session_id = find_session((await client.sessions()).sessions, wanted).session_id
        snapshot = await client.snapshot(session_id)
        # A snapshot has the newest only of these.
        for name in ("epochs", "commands", "errors"):
            snapshot.ClearField(name)
        snapshot.epochs.extend(await client.epochs(session_id))
        snapshot.commands.extend(await client.commands(session_id))
        snapshot.errors.extend(await client.errors(session_id))
        return snapshot, *(await standings(client, session_id, _MAX_SERIES))
