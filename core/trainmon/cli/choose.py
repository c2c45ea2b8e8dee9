"""Finding the session, or the states of sessions, that a user means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import click

from trainmon.cli.text import aligned, moment, printable, state_name
from trainmon.v1.dashboard_pb2 import SessionState, SessionSummary

__all__ = ["STATES", "find_session", "states", "told_name", "told_session"]

#: Candidates that are listed where a name or prefix means several.
_MAX_CANDIDATES = 10
#: Every state by the name under which it is asked for.
STATES = {
    state_name(number).replace(" ", "-"): number
    for number in cast("list[SessionState]", SessionState.values())  # which are called plain ints
    if number != SessionState.SESSION_STATE_UNSPECIFIED
}


def find_session(sessions: Sequence[SessionSummary], wanted: str) -> SessionSummary:
    """Return the one session that is meant.

    Args:
        sessions: All there are.
        wanted: An id; else the beginning of one id only, or a name that one session only has.

    Raises:
        click.ClickException: None or several are meant; the message lists several.
    """
    exact = [each for each in sessions if each.session_id == wanted]
    if exact:
        return exact[0]
    found = [
        each
        for each in sessions
        if wanted and (each.session_id.startswith(wanted) or each.session_name == wanted)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise click.ClickException(
            f"no session is called {printable(wanted)!r}: give an id, the beginning of one, or a "
            "name, as `trainmon sessions` lists them"
        )
    raise click.ClickException(_ambiguous(found, wanted))


def _ambiguous(found: Sequence[SessionSummary], wanted: str) -> str:
    rows = [
        (each.session_id, told_name(each), state_name(each.state), moment(each.started_ms))
        for each in found[:_MAX_CANDIDATES]
    ]
    lines = [f"{len(found)} sessions are meant by {printable(wanted)!r}; give more of the id:"]
    lines += [f"  {line}" for line in aligned(rows)]
    if len(found) > len(rows):
        lines.append(f"  and {len(found) - len(rows)} more")
    return "\n".join(lines)


def told_name(summary: SessionSummary) -> str:
    """Return a session's name for people."""
    return printable(summary.session_name) or "-"


def told_session(summary: SessionSummary) -> str:
    """Return a session's id with its name, for a sentence."""
    name = printable(summary.session_name)
    return f"{summary.session_id} ({name})" if name else summary.session_id


def states(text: str) -> frozenset[SessionState]:
    """Return the states that are named, separated by commas; for an option's ``type``.

    Raises:
        click.BadParameter: One is not known.
    """
    names = [name.strip().lower().replace("_", "-") for name in text.split(",")]
    unknown = [name for name in names if name not in STATES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no state; there are {', '.join(STATES)}.")
    return frozenset(STATES[name] for name in names)
