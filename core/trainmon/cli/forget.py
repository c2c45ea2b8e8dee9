"""``trainmon sessions rm`` and ``prune``: what the monitor is to forget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trainmon.cli.choose import find_session, states, told_session
from trainmon.cli.durations import duration
from trainmon.cli.sessions import listed, tell_sessions
from trainmon.cli.where import address_of, monitor_option
from trainmon.v1.dashboard_pb2 import ListSessionsResponse, SessionState, SessionSummary

if TYPE_CHECKING:
    from trainmon.cli.client import Client

__all__ = ["old_sessions", "prune", "rm"]

#: The states from which nothing more comes.
_ENDS = frozenset(
    {
        SessionState.SESSION_STATE_COMPLETED,
        SessionState.SESSION_STATE_STOPPED,
        SessionState.SESSION_STATE_FAILED,
        SessionState.SESSION_STATE_DIED,
    }
)
_EXIT_STATUS = (
    "Exit status: 0 where all of it went, 1 where something could not, or you said no, 2 where the "
    "command is wrong."
)


@click.command(epilog=_EXIT_STATUS)
@click.argument("wanted", metavar="SESSION...", nargs=-1, required=True)
@monitor_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def rm(
    parents_monitor: str | None, wanted: tuple[str, ...], monitor: str | None, yes: bool
) -> None:
    """Delete ended sessions with all their history.

    SESSION is an id, the beginning of one id only, or a name that one session only has. What is
    live is refused: stop it first.
    """
    address = address_of(monitor or parents_monitor)
    known = asyncio.run(listed(address)).sessions
    found = [_found(known, each) for each in wanted]
    chosen = {each.session_id: each for each in found if each is not None}
    failed = _delete_asked(address, list(chosen.values()), yes=yes)
    raise click.exceptions.Exit(int(failed or None in found))


def _found(known: Sequence[SessionSummary], wanted: str) -> SessionSummary | None:
    """Return the session that is meant; None where that is not clear, which is said."""
    try:
        return find_session(known, wanted)
    except click.ClickException as error:
        error.show()
        return None


@click.command(epilog=_EXIT_STATUS)
@click.option("--older-than", type=duration, help="Only what ended so long ago: 30d, 12h, 1h30m.")
@click.option("--keep", type=click.IntRange(0), help="Keep the newest so many of those states.")
@click.option(
    "--state",
    "wanted",
    type=states,
    help="Only those in these states.  [default: completed,stopped,failed,died]",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@monitor_option
@click.pass_obj
def prune(
    parents_monitor: str | None,
    older_than: float | None,
    keep: int | None,
    wanted: frozenset[SessionState] | None,
    monitor: str | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete old sessions with all their history.

    Give --older-than, --keep or both. The age counts from a session's end; of one that never said
    goodbye, from when it was last heard of.
    """
    if older_than is None and keep is None:
        raise click.UsageError("say what is old: --older-than 30d, --keep 20, or both")
    address = address_of(monitor or parents_monitor)
    chosen = old_sessions(asyncio.run(listed(address)), wanted or _ENDS, keep or 0, older_than)
    if not chosen:
        click.echo("nothing to prune")
        return
    if dry_run:
        tell_sessions(chosen)
        click.echo(f"{_counted(chosen)} would be deleted", err=True)
        return
    raise click.exceptions.Exit(int(_delete_asked(address, chosen, yes=yes)))


def old_sessions(
    response: ListSessionsResponse,
    states: frozenset[SessionState],
    keep: int,
    older_than_s: float | None,
) -> list[SessionSummary]:
    """Return what is to go, by the monitor's clock."""
    newest_first = sorted(response.sessions, key=lambda each: each.started_ms, reverse=True)
    rest = [each for each in newest_first if each.state in states][keep:]
    if older_than_s is None:
        return rest
    latest_ms = response.timestamp_ms - older_than_s * 1000
    return [each for each in rest if _end_ms(each) <= latest_ms]


def _end_ms(summary: SessionSummary) -> int:
    return summary.ended_ms if summary.HasField("ended_ms") else summary.last_seen_ms


def _counted(chosen: Sequence[SessionSummary]) -> str:
    return f"{len(chosen)} session{'' if len(chosen) == 1 else 's'}"


def _delete_asked(address: str, chosen: Sequence[SessionSummary], *, yes: bool) -> bool:
    """Ask once, delete, and return whether any could not be deleted."""
    if not chosen:
        return False
    if not yes:
        tell_sessions(chosen, err=True)
        question = f"Delete {_counted(chosen)} with all history?"
        click.confirm(question, abort=True, err=True)
    return asyncio.run(_delete(address, chosen))


async def _delete(address: str, chosen: Sequence[SessionSummary]) -> bool:
    from trainmon.cli.client import Client

    async with Client(address) as client:
        outcomes = [await _delete_one(client, each) for each in chosen]
    return not all(outcomes)


async def _delete_one(client: Client, summary: SessionSummary) -> bool:
    """Delete a session, say so, and return whether it is gone."""
    from grpclib.const import Status

    from trainmon.cli.client import RefusedError

    try:
        await client.delete(summary.session_id)
    except RefusedError as error:
        if error.status is not Status.NOT_FOUND:
            click.echo(f"Error: {told_session(summary)} stays: {error.reason}", err=True)
            return False
        click.echo(f"gone already: {told_session(summary)}")
        return True
    click.echo(f"deleted {told_session(summary)}")
    return True
