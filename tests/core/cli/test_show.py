"""``trainmon show``: one session as a page of text."""

from __future__ import annotations

import math
from random import Random

import click
import pytest

from trainmon.cli.client import Client
from trainmon.cli.page import page
from trainmon.cli.standings import standings
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    CommandRecord,
    CommandResult,
    CommandState,
    ControlCommand,
    SetControl,
    Stop,
)
from trainmon.v1.dashboard_pb2 import SendCommandRequest, SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import (
    ConvergenceStatus,
    EpochData,
    ErrorResponse,
    LossCount,
    PerformanceData,
)

IMPROVING = ConvergenceStatus.CONVERGENCE_STATUS_IMPROVING


def section(text: str, title: str) -> list[list[str]]:
    """Return the words of each line below a heading."""
    lines = text.splitlines()
    rest = lines[lines.index(title) + 1 :]
    end = rest.index("") if "" in rest else len(rest)
    return [line.split() for line in rest[:end]]


def head(text: str) -> dict[str, str]:
    """Return what is said of the session as a whole, by its words."""
    lines = text.partition("\n\n")[0].splitlines()
    state = next(line for line in lines if line.startswith("state"))
    width = state.index(state.split()[1])
    return {line[:width].strip(): line[width:] for line in lines}


def told(snapshot: SessionSnapshot) -> str:
    """Return the page of a session without scalars."""
    return click.unstyle("\n".join(page(snapshot, [], 0)))


@pytest.mark.parametrize("fed", ["memory", "sqlite"], indirect=True)
async def test_a_page_tells_all_there_is(fed, trainmon, scalars, said):
    """Name, state, progress, hyperparameters, scalars, epochs, commands and notes are there."""
    session = await fed.session(
        said("RUNNING", "", "a note of the training"),
        scalars("loss", [3.0, 1.0, 2.0]),
        EpochData(epoch=0, average_loss=2.0, duration_ms=2000, convergence_status=IMPROVING),
        live=True,
        session_name="digits",
        framework="lightning",
        framework_version="2.6",
        hostname="host-a",
        pid=77,
        total_epochs=3,
        hyperparameters={"width": "32", "depth": "4"},
    )
    command = ControlCommand(command_id="c", issued_by="me", stop=Stop())
    await fed.dashboard.SendCommand(SendCommandRequest(session_id=session, command=command))
    done = await trainmon("show", "digits")
    assert done.exit_code == 0, done.output
    said_of_it = head(done.stdout)
    assert said_of_it["session"] == session
    assert said_of_it["state"] == "running"
    assert said_of_it["framework"] == "lightning 2.6"
    assert said_of_it["progress"] == "epoch 1 of 3, batch 1, step 2"
    assert said_of_it["rank 0"].startswith("host-a, process 77: running, last heard ")
    assert (said_of_it["watched by"], said_of_it["lost"]) == ("nobody", "nothing known of")
    assert "ended" not in said_of_it
    assert section(done.stdout, "hyperparameters") == [["depth", "4"], ["width", "32"]]
    assert section(done.stdout, "scalars")[1:] == [["loss", "2", "2", "1", "3", "3"]]
    assert section(done.stdout, "epochs")[1:] == [["1", "2", "2", "s", "improving"]]
    assert section(done.stdout, "commands")[1][2:4] == ["stop", "me"]
    assert section(done.stdout, "notes") == [["a", "note", "of", "the", "training"]]


async def test_an_end_is_told_with_its_reason(fed, trainmon, said):
    """A failed run has its error, every line of it, in letters that move no cursor."""
    failed = said("FAILED", "ValueError: bad\x1b[2J\nsecond line")
    await fed.session(failed, live=True, session_name="broken\x1b[2J")
    done = await trainmon("show", "broken\x1b[2J")
    assert head(done.stdout)["state"] == "failed"
    assert "ended" in head(done.stdout)
    assert "\x1b" not in done.stdout
    assert "broken?[2J" in done.stdout
    assert "ValueError: bad?[2J\n" in done.stdout
    assert " second line\n" in done.stdout


async def test_an_unknown_session_is_told(trainmon):
    """It is an error with status 1."""
    done = await trainmon("show", "nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no session is called 'nobody'" in done.stderr


@pytest.mark.parametrize("fed", ["memory", "sqlite"], indirect=True)
@pytest.mark.parametrize("points", [1, 16, 17, 5000])
async def test_the_newest_value_and_the_extremes_are_exact(fed, scalars, points):
    """However many points there are, in each attempt, and whatever is not finite among them."""
    values = [Random(1).random() for _ in range(points)]
    values[points // 2] = math.nan
    values[-1] = 0.25
    records = [
        scalars("loss", values[at : at + 1000], first=at, attempt=attempt)
        for attempt in (0, 1)
        for at in range(0, points, 1000)
    ]
    session = await fed.session(*records, scalars("other", [math.inf]))
    async with Client(fed.address) as client:
        (first, second, other), known = await standings(client, session, 10)
        some, _ = await standings(client, session, 1)
    finite = [value for value in values if math.isfinite(value)]
    assert (first.name, first.attempt, second.attempt, known) == ("loss", 0, 1, 3)
    for each in (first, second):
        assert (each.points, each.step, each.value) == (points, points - 1, values[-1])
        assert (each.minimum, each.maximum) == (min(finite), max(finite))
    assert (other.value, other.minimum, other.maximum) == (math.inf, None, None)
    assert some == [first]


async def test_points_merged_for_good_are_told_by_their_mean(fed, scalars):
    """Where the newest row stays several points, it is their first step and mean."""
    merged = scalars("loss", [1.0, 2.0], minimums=[0.5, 1.0], maximums=[2.0, 4.0], counts=[9, 9])
    session = await fed.session(merged)
    async with Client(fed.address) as client:
        ((loss,), _) = await standings(client, session, 10)
    assert (loss.step, loss.value, loss.points) == (1, 2.0, 18)
    assert (loss.minimum, loss.maximum) == (0.5, 4.0)


def test_what_is_lost_is_told():
    """Records missing on the way, and those refused before; what was best effort is no loss."""
    losses = [
        LossCount(kind="scalars", reason="queue_full", count=7),
        LossCount(kind="picture", reason="relay_busy", count=9, best_effort=True),
    ]
    snapshot = SessionSnapshot(missing_records=1, performance_data=PerformanceData(losses=losses))
    assert (
        head(told(snapshot))["lost"] == "1 record on the way; 7 scalars refused before (queue_full)"
    )


def test_rates_and_ranks_are_told():
    """Rates now and on average, what is left, and how many ranks there should be."""
    summary = SessionSummary(
        session_id="s", global_step=5, current_fps=10, average_fps=8, viewers=2
    )
    summary.world_size = 30
    for rank in range(20):
        summary.ranks.add(rank=rank, hostname="h")
    rates = PerformanceData(run_remaining_ms=90_000)
    text = told(SessionSnapshot(summary=summary, performance_data=rates))
    said_of_it = head(text)
    assert said_of_it["rate"] == "10.0 batches/s now, 8.0 batches/s on average, about 1.5 min to go"
    assert said_of_it["ranks"] == "20 of 30 have joined"
    assert said_of_it["watched by"] == "2 viewers"
    assert "and 4 ranks more" in text
    assert "rank 16" not in said_of_it


def test_commands_are_told_with_their_ends():
    """What was asked for, at which step it took effect, what it changed, and why not."""
    applied = CommandState.COMMAND_STATE_APPLIED
    records = [
        CommandRecord(
            command=ControlCommand(adjust_learning_rate=AdjustLearningRate(factor=0.5)),
            state=applied,
            result=CommandResult(
                applied_at_step=12, previous_value=0.2, applied_value=0.1, effective_value=0.09
            ),
        ),
        CommandRecord(
            command=ControlCommand(set_control=SetControl(name="dropout", value=0.3)),
            state=CommandState.COMMAND_STATE_REJECTED,
            result=CommandResult(message="not\x1b now"),
        ),
        CommandRecord(command=ControlCommand(stop=Stop()), state=99),
    ]
    lines = told(SessionSnapshot(commands=records)).splitlines()
    first, second, third = lines[-3:]
    assert "learning rate × 0.5" in first
    assert "0.2 → 0.09" in first
    assert "12" in first.split()
    assert "dropout = 0.3" in second
    assert "not? now" in second
    assert "unknown 99" in third


def test_long_tables_are_cut_and_say_so():
    """The last epochs and commands are shown; attempts only where there were several."""
    epochs = [EpochData(epoch=number, attempt=1, average_loss=number) for number in range(30)]
    text = told(SessionSnapshot(epochs=epochs))
    rows = section(text, "epochs (the last 10 of 30)")
    assert rows[0][:3] == ["EPOCH", "ATTEMPT", "LOSS"]
    assert [row[:3] for row in rows[1:]] == [[str(n + 1), "2", str(n)] for n in range(20, 30)]


def test_errors_are_told():
    """Each with its time, its code, and what the monitor said."""
    snapshot = SessionSnapshot(errors=[ErrorResponse(code=4, message="nothing\n came")])
    (row,) = section(told(snapshot), "errors")
    assert row[2:] == ["connection", "timeout", "nothing?", "came"]
