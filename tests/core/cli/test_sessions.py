"""``trainmon sessions``: the list, and what is deleted from it, through the monitor."""

from __future__ import annotations

import asyncio
import json
import math
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trainmon.cli import client, main
from trainmon.cli.choose import find_session, states
from trainmon.cli.durations import duration
from trainmon.cli.forget import old_sessions
from trainmon.cli.text import ago, lasting, moment, printable
from trainmon.cli.where import address_of
from trainmon.monitor.lock import HomeLock
from trainmon.v1.dashboard_pb2 import ListSessionsResponse, SessionState, SessionSummary

DAY_MS = 86_400_000


async def left(fed) -> set[str]:
    """Return the names of the sessions that the monitor still has."""
    async with client.Client(fed.address) as asking:
        return {each.session_name for each in (await asking.sessions()).sessions}


# --- the list ------------------------------------------------------------------------------------


async def test_states_filter_the_list(fed, trainmon):
    """Only sessions in one of the named states are listed; where there are none that is said."""
    await fed.session(session_name="over", status="STOPPED")
    await fed.session(session_name="busy", live=True)
    assert "over" in (await trainmon("sessions", "--state", "stopped")).stdout
    both = (await trainmon("sessions", "--state", "Running,stopped")).stdout
    assert [line.split()[1] for line in both.splitlines()] == ["NAME", "busy", "over"]
    none = await trainmon("sessions", "--state", "link-lost")
    assert none.stdout == "none of the 2 sessions is in such a state\n"


async def test_the_list_for_programs_is_json(fed, trainmon, scalars):
    """An array of objects, names as they are, unknown is null, and NaN is a text."""
    session = await fed.session(
        scalars("loss", [math.nan]), session_name="a\x1bb", hostname="here", status="FAILED"
    )
    await fed.session(session_name="newer", producer_id="q", live=True)
    newer, older = json.loads((await trainmon("sessions", "--json")).stdout)
    assert (newer["session_name"], newer["loss"], newer["ended_ms"]) == ("newer", None, None)
    assert (older["session_id"], older["session_name"]) == (session, "a\x1bb")
    assert (older["state"], older["loss"], older["hostnames"]) == ("failed", "nan", ["here"])
    assert older["ended_ms"] >= older["started_ms"]
    nothing = await trainmon("sessions", "--json", "--state", "died")
    assert json.loads(nothing.stdout) == []


async def test_names_that_a_terminal_cannot_show_are_shown_as_well_as_can_be(fed, monkeypatch):
    """In a locale without these letters there are question marks, and no traceback."""
    await fed.session(session_name="ζ損")
    monkeypatch.setenv("TRAINMON_MONITOR", fed.address)
    runner = CliRunner(charset="latin-1")
    done = await asyncio.to_thread(runner.invoke, main, ["sessions"], prog_name="trainmon")
    assert done.exit_code == 0, done.output
    assert " ?? " in done.stdout


@pytest.mark.parametrize(
    "arguments", [("--state", "idle"), ("--json", "rm", "x"), ("prune",), ("rm",)]
)
async def test_wrong_options_are_usage_errors(trainmon, arguments):
    """They end with status 2, and no monitor is asked."""
    assert (await trainmon("sessions", *arguments)).exit_code == 2


def test_states_are_named():
    """By their names with hyphens or underscores; another is told with all there are."""
    assert states("died, LINK_LOST") == {
        SessionState.SESSION_STATE_DIED,
        SessionState.SESSION_STATE_LINK_LOST,
    }
    with pytest.raises(click.BadParameter, match=r"'idle' is no state; there are starting, .*died"):
        states("running,idle")


# --- which monitor -------------------------------------------------------------------------------


async def test_the_monitor_of_the_home_is_asked(fed, trainmon, monkeypatch):
    """Where no address is given, it is that of the monitor that serves TRAINMON_HOME."""
    await fed.session(session_name="mine")
    monkeypatch.delenv("TRAINMON_MONITOR")
    assert address_of(None) == "127.0.0.1:50051"
    with HomeLock(Path(os.environ["TRAINMON_HOME"])) as lock:
        lock.announce(fed.address)
        assert "mine" in (await trainmon("sessions")).stdout
    monkeypatch.setenv("TRAINMON_MONITOR", "192.0.2.1:9")
    assert address_of(None) == "192.0.2.1:9"
    assert address_of("192.0.2.2:9") == "192.0.2.2:9"


@pytest.mark.parametrize("where", [("sessions",), ("sessions", "rm", "x"), ("show", "x")])
async def test_a_bad_address_names_who_gave_it(trainmon, monkeypatch, where):
    """The option is named where it is the option's, the variable where it is the variable's."""
    told = await trainmon(*where, "--monitor", "foo")
    assert told.exit_code == 2
    assert told.stderr == (
        "Error: --monitor is 'foo', but should be an address such as 127.0.0.1:50051\n"
    )
    monkeypatch.setenv("TRAINMON_MONITOR", "bar")
    told = await trainmon(*where)
    assert told.exit_code == 2
    assert told.stderr.startswith("Error: TRAINMON_MONITOR is 'bar'")


async def serving(answer: bytes | None) -> asyncio.Server:
    """Serve something that is no monitor: it answers so, or not at all."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        if answer is not None:
            writer.write(answer)
        else:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(speak, "127.0.0.1", 0)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
@pytest.mark.parametrize("command", [("sessions",), ("show", "x"), ("export", "x")])
async def test_what_is_no_monitor_is_told(trainmon, monkeypatch, answer, command):
    """A web server, one that hangs up and one that is silent are no traceback but a sentence."""
    monkeypatch.setattr(client, "_TIMEOUT_S", 0.2)
    async with await serving(answer) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = await trainmon(*command, "--monitor", address)
    assert told.exit_code == 1
    assert told.stderr.startswith(f"Error: no monitor answers at {address} (")
    assert "trainmon serve" in told.stderr


# --- rm ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fed", ["memory", "sqlite"], indirect=True)
async def test_sessions_are_deleted_by_id_prefix_and_name(fed, trainmon):
    """Each way of naming one deletes it, with all it had; the others stay."""
    by_id = await fed.session(session_name="one")
    by_prefix = await fed.session(session_name="two", session_id="prefix-of-mine")
    await fed.session(session_name="three")
    await fed.session(session_name="four")
    done = await trainmon("sessions", "rm", "--yes", by_id, "prefix-", "three", by_prefix)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3
    assert done.stdout.splitlines()[0] == f"deleted {by_id} (one)"
    assert await left(fed) == {"four"}


@pytest.mark.parametrize(
    ("answer", "code", "names"), [("y\n", 0, set()), ("n\n", 1, {"one"}), ("", 1, {"one"})]
)
async def test_it_asks_once(fed, trainmon, answer, code, names):
    """What would go is shown, on the error stream, and only a yes deletes it."""
    await fed.session(session_name="one")
    done = await trainmon("sessions", "rm", "one", input=answer)
    assert done.exit_code == code
    assert "one" in done.stderr
    assert done.stderr.count("Delete 1 session with all history? [y/N]") == 1
    assert await left(fed) == names


async def test_a_live_session_stays_and_stops_no_other(fed, trainmon):
    """The monitor's reason is told, the rest is deleted, and the status is 1."""
    live = await fed.session(session_name="live", live=True)
    await fed.session(session_name="over")
    done = await trainmon("sessions", "rm", "--yes", "live", "nobody", "over")
    assert done.exit_code == 1
    assert f"Error: {live} (live) stays: session {live} is live: stop the training" in done.stderr
    assert "no session is called 'nobody'" in done.stderr
    assert "(over)" in done.stdout
    assert await left(fed) == {"live"}


async def test_the_monitor_is_named_before_or_after(fed, trainmon, monkeypatch):
    """``--monitor`` counts wherever it stands."""
    monkeypatch.setenv("TRAINMON_MONITOR", "127.0.0.1:9")
    for name in ("before", "after"):
        await fed.session(session_name=name)
    option = ("--monitor", fed.address)
    assert (await trainmon("sessions", *option, "rm", "-y", "before")).exit_code == 0
    assert (await trainmon("sessions", "rm", "-y", "after", *option)).exit_code == 0
    assert await left(fed) == set()


async def test_one_that_is_gone_already_is_no_failure(fed, trainmon, monkeypatch):
    """Deleted by someone else after it was listed, it is as gone as it should be."""
    session = await fed.session(session_name="one")
    listed = client.Client.sessions

    async def list_and_lose(self):
        answer = await listed(self)
        await self.delete(session)
        return answer

    monkeypatch.setattr(client.Client, "sessions", list_and_lose)
    done = await trainmon("sessions", "rm", "-y", "one")
    assert (done.exit_code, done.stdout) == (0, f"gone already: {session} (one)\n")


# --- who is meant --------------------------------------------------------------------------------


def named(*pairs: str) -> list[SessionSummary]:
    """Return sessions of these ``id:name``."""
    parts = [pair.split(":") for pair in pairs]
    return [SessionSummary(session_id=each, session_name=name) for each, name in parts]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("abc1", "abc1"),
        ("abc", "abc"),  # an id in full is meant before ids that it begins
        ("x", "x9"),
        ("digits", "x9"),
        ("lone", "d"),
    ],
)
def test_a_session_is_found(wanted, found):
    """By its id, the beginning of one id only, or a name that is its alone."""
    known = named("abc:", "abc1:two", "abc2:two", "x9:digits", "d:lone")
    assert find_session(known, wanted).session_id == found


@pytest.mark.parametrize("wanted", ["ab", "two", "both"])
def test_several_that_are_meant_are_listed(wanted):
    """A prefix or name of several, or of one's name and another's id, is refused with them."""
    known = named("abc1:two", "abc2:two", "both1:z", "x:both")
    with pytest.raises(click.ClickException) as error:
        find_session(known, wanted)
    lines = error.value.message.splitlines()
    assert lines[0] == f"2 sessions are meant by {wanted!r}; give more of the id:"
    assert len(lines) == 3


def test_of_many_that_are_meant_some_are_listed():
    """The list of candidates is short, and says how many more there are."""
    known = named(*(f"abc{number}:" for number in range(25)))
    with pytest.raises(click.ClickException, match="and 15 more"):
        find_session(known, "abc")


@pytest.mark.parametrize("wanted", ["", "nobody", "\x1b[2J"])
def test_nobody_that_is_meant_is_told(wanted):
    """An unknown name is told in letters that move no cursor; an empty one means nobody."""
    with pytest.raises(click.ClickException) as error:
        find_session(named("a:", "b:"), wanted)
    assert "\x1b" not in error.value.message


# --- prune ---------------------------------------------------------------------------------------


async def test_pruning_keeps_the_newest_and_the_living(fed, trainmon):
    """``--keep`` counts ended sessions, newest first; those that train are no candidates."""
    for name in ("first", "second", "third"):
        await fed.session(session_name=name)
    await fed.session(session_name="live", live=True)
    tried = await trainmon("sessions", "prune", "--keep", "1", "--dry-run")
    assert tried.exit_code == 0
    assert "first" in tried.stdout
    assert tried.stderr == "2 sessions would be deleted\n"
    assert len(await left(fed)) == 4
    refused = await trainmon("sessions", "prune", "--keep", "1", input="n\n")
    assert (refused.exit_code, len(await left(fed))) == (1, 4)
    assert (await trainmon("sessions", "prune", "--keep", "1", "--yes")).exit_code == 0
    assert await left(fed) == {"third", "live"}


async def test_pruning_chooses_by_age_and_state(fed, trainmon):
    """``--older-than`` and ``--state`` leave what is younger or ended otherwise."""
    await fed.session(session_name="done")
    await fed.session(session_name="stopped", status="STOPPED")
    young = await trainmon("sessions", "prune", "--older-than", "1d", "-y")
    assert (young.exit_code, young.stdout) == (0, "nothing to prune\n")
    options = ("--older-than", "0s", "--state", "stopped", "-y")
    assert (await trainmon("sessions", "prune", *options)).exit_code == 0
    assert await left(fed) == {"done"}


async def test_pruning_tells_what_it_may_not(fed, trainmon):
    """A live one that was asked for by its state stays, with the monitor's reason, status 1."""
    await fed.session(session_name="live", live=True)
    options = ("--older-than", "0s", "--state", "running,completed", "-y")
    done = await trainmon("sessions", "prune", *options)
    assert done.exit_code == 1
    assert "(live) stays: " in done.stderr


def test_age_counts_from_the_end_by_the_monitors_clock():
    """Or from when it was last heard of; the newest of those in the states are kept first."""
    completed, lost = SessionState.SESSION_STATE_COMPLETED, SessionState.SESSION_STATE_LINK_LOST

    def session(name: str, state: SessionState, started: int, **times: int) -> SessionSummary:
        times = {key: days * DAY_MS for key, days in times.items()}
        started_ms = started * DAY_MS
        return SessionSummary(session_id=name, state=state, started_ms=started_ms, **times)

    response = ListSessionsResponse(
        timestamp_ms=100 * DAY_MS,
        sessions=[
            session("new", completed, 98, ended_ms=99),
            session("lost", lost, 10, last_seen_ms=50),
            session("long", completed, 1, ended_ms=99),
            session("old", completed, 2, ended_ms=70, last_seen_ms=99),
            session("older", completed, 1, ended_ms=69),
        ],
    )

    def chosen(*states: SessionState, keep: int = 0, days: float | None = 30) -> list[str]:
        older = None if days is None else days * 86_400
        found = old_sessions(response, frozenset(states), keep, older)
        return [each.session_id for each in found]

    assert chosen(completed) == ["old", "older"]
    assert chosen(completed, lost) == ["lost", "old", "older"]
    assert chosen(completed, keep=2) == ["older"]
    assert chosen(completed, keep=3, days=None) == ["older"]


# --- words and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("45s", 45),
        ("90m", 5400),
        ("90min", 5400),
        ("1h30m", 5400),
        ("1.5 h", 5400),
        ("30d", 30 * 86_400),
        ("1D 2H", 93_600),
        ("2w", 14 * 86_400),
    ],
)
def test_durations_are_read(text, seconds):
    """A number with its unit, or several one after the other."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "30x", "d", "-1d", "1d2", "1e3s", "1 month", "inf"])
def test_what_is_no_duration_is_told(text):
    """The message shows what was given and how durations are written."""
    with pytest.raises(click.BadParameter, match="is no duration: write a number and its unit"):
        duration(text)


def test_times_are_told_for_people():
    """To two digits or so, in the unit that fits."""
    lengths_ms = [0, 350, 48_000, 5 * 60_000, 3.2 * 3_600_000, 12.4 * DAY_MS]
    assert [lasting(each) for each in lengths_ms] == [
        *("0 s", "0.35 s", "48 s", "5 min", "3.2 h", "12 d")
    ]
    assert ago(1.7e12, 1.7e12 + 60_000) == f"{moment(1.7e12)} (60 s ago)"
    assert ago(1.7e12, 1.7e12 - 60_000) == f"{moment(1.7e12)} (just now)"
    assert printable("a\tb\u202e\nζ") == "a?b??ζ"
