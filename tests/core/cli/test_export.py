"""``trainmon export``: every point, exact, as CSV or Parquet, and never half a file."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import os
import re
import signal
import struct
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.cli import points
from trainmon.cli.client import Client
from trainmon.cli.points import Piece, PointReader, columns_of
from trainmon.cli.tables import Column, CsvWriter
from trainmon.v1.control_pb2 import AdjustLearningRate, ControlCommand, Stop
from trainmon.v1.dashboard_pb2 import SendCommandRequest
from trainmon.v1.telemetry_pb2 import ConvergenceStatus, EpochData, MetricData, MetricSeries

HEAD = "series,attempt,step,time_ms,value,minimum,maximum,count"
#: Doubles that a careless writer changes.
AWKWARD = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 123456789.123456789, 1e22, -2.5]
#: Runs a test with each store.
both_stores = pytest.mark.parametrize("fed", ["memory", "sqlite"], indirect=True)
LIMIT = "trainmon.monitor.dashboard.MAX_ANSWER_BYTES"


def bits(values) -> list[bytes]:
    """Return doubles as they are in memory, every NaN the same."""
    return [struct.pack(">d", math.nan if value != value else value) for value in values]


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- what is in it -------------------------------------------------------------------------------


@both_stores
async def test_every_point_comes_back_bit_for_bit(fed, trainmon, scalars):
    """The doubles of a CSV export are those that were sent: awkward, infinite and NaN ones too."""
    values = [*AWKWARD, math.nan, math.inf, -math.inf]
    session = await fed.session(scalars("loss", values))
    done = await trainmon("export", session)
    assert done.exit_code == 0, done.output
    assert done.stdout.partition("\n")[0] == HEAD
    rows = table(done.stdout)
    assert bits(float(row["value"]) for row in rows) == bits(values)
    assert [int(row["step"]) for row in rows] == list(range(len(values)))
    assert [float(row["time_ms"]) for row in rows] == [1.7e12 + step / 2 for step in range(11)]
    assert [row["value"] for row in rows[-3:]] == ["nan", "inf", "-inf"]
    assert {row["count"] for row in rows} == {""}
    assert done.stderr == "11 rows of 1 series\n"


@given(st.lists(st.tuples(st.floats(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_csv_gives_back_what_it_was_given(rows):
    """Any double and any text survive being written and read, whatever needs quoting."""
    stream = io.BytesIO()
    writer = CsvWriter(stream, [Column("number", "number"), Column("text", "text")])
    writer.write([[number for number, _ in rows], [text for _, text in rows]])
    head, *read = csv.reader(io.StringIO(stream.getvalue().decode(), newline=""))
    assert head == ["number", "text"]
    assert bits(float(number) for number, _ in read) == bits(number for number, _ in rows)
    assert [text for _, text in read] == [text for _, text in rows]


@both_stores
async def test_steps_trained_again_are_both_there(fed, trainmon, scalars):
    """Rows are by series, step and attempt, so that every attempt of a step stands together."""
    session = await fed.session(
        scalars("loss", [1.0, 2.0, 3.0]),
        scalars("loss", [20.0, 30.0], first=1, attempt=1),
        scalars("accuracy", [0.5]),
    )
    rows = table((await trainmon("export", session)).stdout)
    told = [(row["series"], row["step"], row["attempt"], row["value"]) for row in rows]
    assert told == [
        ("accuracy", "0", "0", "0.5"),
        ("loss", "0", "0", "1.0"),
        ("loss", "1", "0", "2.0"),
        ("loss", "1", "1", "20.0"),
        ("loss", "2", "0", "3.0"),
        ("loss", "2", "1", "30.0"),
    ]


@both_stores
async def test_merged_rows_have_their_extremes(fed, trainmon, scalars):
    """Of points merged under pressure there are least, greatest and count; else none of them."""
    merged = scalars("loss", [1.5, 9.0], minimums=[1.0, 9.0], maximums=[2.0, 9.0], counts=[2, 1])
    session = await fed.session(merged)
    first, second = table((await trainmon("export", session)).stdout)
    assert [first[name] for name in ("value", "minimum", "maximum", "count")] == [
        "1.5",
        "1.0",
        "2.0",
        "2",
    ]
    assert [second[name] for name in ("value", "minimum", "maximum", "count")] == [
        "9.0",
        "",
        "",
        "",
    ]


NAMES = ['comma, "quote"', "two\nlines", "=1+1", "validation/loss", "ζ é 損失"]


@both_stores
async def test_names_come_back_as_they_are(fed, trainmon, scalars):
    """Names of series that need quoting, or that no terminal should see, are exact in the file."""
    session = await fed.session(*(scalars(name, [1.0]) for name in NAMES))
    rows = table((await trainmon("export", session)).stdout)
    assert sorted(row["series"] for row in rows) == sorted(NAMES)


@both_stores
async def test_a_session_without_scalars_is_a_head(fed, trainmon):
    """With nothing to tell there is a table without rows, and no error."""
    session = await fed.session()
    done = await trainmon("export", session)
    assert (done.exit_code, done.stdout) == (0, f"{HEAD}\n")
    assert done.stderr == "0 rows of 0 series\n"


async def test_the_run_of_an_earlier_monitor_is_the_same(on_disk, run, scalars, monkeypatch):
    """What is shown and exported of a run does not change when its monitor is another."""
    told = []
    async with on_disk() as first:
        session = await first.session(
            scalars("loss", [Random(1).random() for _ in range(5000)]),
            EpochData(epoch=0, average_loss=0.1, global_step=9, metrics={"f1": 0.5}),
            hyperparameters={"width": "32"},
        )
        told.append(await everything(run, first.address, session, monkeypatch))
    async with on_disk() as second:
        told.append(await everything(run, second.address, session, monkeypatch))
    assert told[0] == told[1]
    assert told[0][0].count("\n") == 5001


async def everything(run, address: str, session: str, monkeypatch) -> list[str]:
    """Return what the commands write of a session, but for how long ago its times are."""
    monkeypatch.setenv("TRAINMON_MONITOR", address)
    epochs = await run("export", session, "--what", "epochs")
    shown = await run("show", session)
    page = re.sub(r"(\d+(\.\d+)? \w+ ago|just now)", "", shown.stdout)
    return [(await run("export", session)).stdout, epochs.stdout, page]


# --- in pieces -----------------------------------------------------------------------------------


async def exported(fed, session: str, whole: Piece, answer_points: int):
    """Return (series, attempt, step, value) of every row that a reader gives, and its answers."""
    rows, sizes = [], []
    async with Client(fed.address) as client:
        reader = PointReader(client, session, answer_points)
        counts = await reader.counts(whole)
        async for answer in reader.read(counts, whole):
            name, attempt, step, _, value, *_ = columns_of(answer)
            rows += zip(name, attempt, step, value, strict=True)
            sizes.append(len(name))
    return rows, sizes


@both_stores
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("answer_points", "limit_bytes"), [(100, 1 << 20), (100_000, 6_000)])
async def test_pieces_make_the_whole(fed, monkeypatch, seed, answer_points, limit_bytes):
    """Cut by plan or halved on refusal: every point once, in order, whatever the shape of it."""
    random = Random(seed)
    sent, records = [], []
    for name in ("a", "b", "c", "long"):
        for attempt in range(random.randint(1, 3)):
            steps, step = [], random.randint(0, 500)
            for _ in range(random.randint(1, 1500 if name == "long" else 60)):
                steps.append(float(step))
                step += random.choice((0, 1, 1, 1, 7, 1000))
            values = [random.random() for _ in steps]
            sent += [
                (name, attempt, int(at), value) for at, value in zip(steps, values, strict=True)
            ]
            series = MetricSeries(
                name=name, attempt=attempt, steps=steps, times=steps, values=values
            )
            records.append(MetricData(series=[series]))
    session = await fed.session(*records)
    monkeypatch.setattr(LIMIT, limit_bytes)
    rows, sizes = await exported(fed, session, Piece(), answer_points)
    assert sorted(rows) == sorted(sent)
    assert [row[:3:2] for row in rows] == sorted(row[:3:2] for row in rows)
    assert len(sizes) > len(sent) / max(answer_points, limit_bytes // 24)
    assert max(sizes) <= limit_bytes // 24


@both_stores
async def test_a_hundred_thousand_points_are_asked_for_in_pieces(
    fed, monkeypatch, scalars, trainmon
):
    """An export is the same in pieces of a thousand points as in one, and no answer is larger."""
    values = [Random(1).random() for _ in range(1000)]
    records = [scalars("loss", values, first) for first in range(0, 100_000, 1000)]
    session = await fed.session(*records, scalars("accuracy", values))
    whole = await trainmon("export", session)
    assert whole.stderr == "101,000 rows of 2 series\n"
    monkeypatch.setattr(points, "ANSWER_POINTS", 1000)
    monkeypatch.setattr(LIMIT, 3000 * 24)
    assert (await trainmon("export", session)).stdout == whole.stdout


@both_stores
async def test_what_cannot_be_halved_is_told(fed, trainmon, monkeypatch, tmp_path):
    """Where one step alone is more than an answer holds, it is the monitor's word, and no file."""
    series = MetricSeries(name="loss", steps=[7.0] * 100, times=[0.0] * 100, values=[0.5] * 100)
    session = await fed.session(MetricData(series=[series]))
    monkeypatch.setattr(LIMIT, 1000)
    done = await trainmon("export", session, "-o", str(tmp_path / "out.csv"))
    assert done.exit_code == 1
    assert "1000 bytes, the limit" in done.stderr
    assert list(tmp_path.iterdir()) == []


@both_stores
async def test_ranges_and_names_choose(fed, trainmon, scalars):
    """Steps are chosen inclusively; names by comma or again, and one with a comma as it is."""
    session = await fed.session(
        *(scalars(name, [0.0, 1.0, 2.0, 3.0]) for name in ("a", "b", "c", "d,e"))
    )
    options = ("--series", "a,b", "--series", "d,e", "--first-step", "1", "--last-step", "2")
    rows = table((await trainmon("export", session, *options)).stdout)
    chosen = [(row["series"], row["step"]) for row in rows]
    assert chosen == [(name, step) for name in ("a", "b", "d,e") for step in ("1", "2")]
    nothing = await trainmon("export", session, "--series", "a", "--first-step", "99")
    assert (nothing.exit_code, nothing.stdout) == (0, f"{HEAD}\n")


async def test_a_series_that_is_not_there_is_told(fed, trainmon, scalars, tmp_path):
    """The message names it and those there are; nothing is written."""
    session = await fed.session(scalars("loss", [1.0]), scalars("acc\x1b[2J", [1.0]))
    target = tmp_path / "out.csv"
    done = await trainmon("export", session, "--series", "los", "-o", str(target))
    assert done.exit_code == 1
    assert done.stderr == "Error: the session has no series 'los'; it has acc?[2J, loss\n"
    assert not target.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--what", "epochs", "--series", "loss"), "are for --what metrics"),
        (("--first-step", "5", "--last-step", "4"), "--first-step 5 is after --last-step 4"),
        (("--format", "xlsx"), "'xlsx' is not one of"),
        (("--first-step", "-1"), "-1 is not in the range"),
    ],
)
async def test_options_that_make_no_sense_are_usage_errors(trainmon, options, words):
    """They end with status 2 before anything is asked or written."""
    done = await trainmon("export", "any", *options)
    assert done.exit_code == 2
    assert words in done.stderr


# --- epochs and commands -------------------------------------------------------------------------


@both_stores
async def test_epochs_are_a_table(fed, trainmon):
    """A row for each epoch, a column for each metric that any epoch has, unknown cells empty."""
    improving = ConvergenceStatus.CONVERGENCE_STATUS_IMPROVING
    session = await fed.session(
        EpochData(epoch=0, average_loss=0.1, global_step=9, timestamp_ms=5, metrics={"f1": 0.5}),
        EpochData(
            epoch=1, average_loss=math.nan, validation_loss=3.0, convergence_status=improving
        ),
    )
    first, second = table((await trainmon("export", session, "--what", "epochs")).stdout)
    assert (first["epoch"], first["average_loss"], first["metrics.f1"]) == ("0", "0.1", "0.5")
    assert (first["step"], first["time_ms"], first["validation_loss"]) == ("9", "5", "")
    assert (second["average_loss"], second["metrics.f1"]) == ("nan", "")
    assert second["convergence"] == "improving"


@both_stores
async def test_every_epoch_is_told_of(fed, trainmon):
    """Of a great many epochs, more than a snapshot or an answer has room for, none is left out."""
    metrics = {f"metric {number}": 0.5 for number in range(200)}
    session = await fed.session(*(EpochData(epoch=each, metrics=metrics) for each in range(700)))
    done = await trainmon("export", session, "--what", "epochs")
    assert (done.exit_code, done.stderr) == (0, "700 epochs\n")
    assert [row["epoch"] for row in table(done.stdout)] == [str(each) for each in range(700)]
    assert "epochs (the last 10 of 700)" in (await trainmon("show", session)).stdout


@pytest.mark.parametrize("fed", ["sqlite"], indirect=True)
async def test_states_and_errors_are_tables(fed, trainmon, said):
    """What the training said it does, and what it was told of, each with its time and words."""
    session = await fed.session(
        said("RUNNING", "off we go"), MetricData(series=[MetricSeries(name="")]), said("PAUSED", "")
    )
    states = table((await trainmon("export", session, "--what", "states")).stdout)
    assert [(each["status"], each["message"]) for each in states] == [
        ("running", ""),
        ("running", "off we go"),
        ("paused", ""),
        ("completed", ""),
    ]
    done = await trainmon("export", session, "--what", "errors")
    (error,) = table(done.stdout)
    assert error["code"] == "invalid message"
    assert "its name has 0 characters" in error["message"]
    assert int(error["time_ms"]) > 1.7e12
    assert done.stderr == "1 error\n"


@both_stores
async def test_commands_are_a_table(fed, trainmon):
    """A row for each command: what was asked for, by whom, and what became of it."""
    session = await fed.session(live=True)
    for command in (
        ControlCommand(command_id="one", issued_by="me", stop=Stop()),
        ControlCommand(
            command_id="two", adjust_learning_rate=AdjustLearningRate(learning_rate=0.3)
        ),
    ):
        await fed.dashboard.SendCommand(SendCommandRequest(session_id=session, command=command))
    done = await trainmon("export", session, "--what", "commands")
    first, second = table(done.stdout)
    assert (first["command_id"], first["action"], first["issued_by"]) == ("one", "stop", "me")
    assert (second["action"], second["value"]) == ("adjust_learning_rate", "0.3")
    assert {first["state"], second["state"]} <= {"recorded", "sent"}
    assert done.stderr == "2 commands\n"


# --- files ---------------------------------------------------------------------------------------


async def test_a_file_is_whole_or_not_there(fed, trainmon, scalars, tmp_path):
    """It is named when done; one that is there stays as it is without --force."""
    session = await fed.session(scalars("loss", [1.0]))
    target = tmp_path / "out.csv"
    done = await trainmon("export", session, "-o", str(target))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"1 row of 1 series: {target}\n"
    written = target.read_text()
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()

    target.write_text("mine")
    refused = await trainmon("export", session, "-o", str(target))
    assert (refused.exit_code, target.read_text()) == (1, "mine")
    assert "is there already: give --force to replace it" in refused.stderr
    assert (await trainmon("export", session, "-o", str(target), "--force")).exit_code == 0
    assert target.read_text() == written
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def current_umask() -> int:
    """Return this process' umask."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("target", ["missing/out.csv", "folder", "folder/"])
async def test_what_cannot_be_written_is_told(fed, trainmon, tmp_path, monkeypatch, target):
    """A folder that is missing, or in the place of the file, is a sentence with its reason."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    session = await fed.session()
    done = await trainmon("export", session, "-o", target, "--force")
    assert done.exit_code == 1
    assert f"{target} cannot be written: " in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


async def test_a_link_stays_a_link(fed, trainmon, tmp_path):
    """What a symbolic link leads to is replaced, not the link."""
    session = await fed.session()
    link = tmp_path / "link.csv"
    link.symlink_to("real.csv")
    assert (await trainmon("export", session, "-o", str(link))).exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text() == f"{HEAD}\n"


async def test_a_pipe_is_written_to_and_stays(fed, trainmon, tmp_path):
    """What is no regular file takes what is written, and is neither refused nor replaced."""
    session = await fed.session()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_text))
    assert (await trainmon("export", session, "-o", str(pipe))).exit_code == 0
    assert await reading == f"{HEAD}\n"
    assert pipe.is_fifo()


# --- ends that nobody wants ----------------------------------------------------------------------


def export_process(fed, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start ``trainmon export`` as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "trainmon.cli", "export", *arguments],
        env={**os.environ, "TRAINMON_MONITOR": fed.address},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


async def test_a_broken_pipe_is_quiet(fed, scalars):
    """Who reads the first line and leaves hears nothing more."""
    session = await fed.session(
        *(scalars("loss", [0.1] * 1000, at) for at in range(0, 20_000, 1000))
    )
    process = export_process(fed, session)
    assert await asyncio.to_thread(process.stdout.readline) == f"{HEAD}\n".encode()
    process.stdout.close()
    assert await asyncio.to_thread(process.stderr.read) == b""
    assert await asyncio.to_thread(process.wait) == 1
    process.stderr.close()


async def test_a_full_disk_is_told(fed, trainmon, scalars):
    """Where what is written does not fit, it is a sentence, for a file and the standard output."""
    session = await fed.session(scalars("loss", [1.0]))
    done = await trainmon("export", session, "-o", "/dev/full")
    assert done.exit_code == 1
    assert done.stderr == "Error: /dev/full cannot be written: No space left on device\n"
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = export_process(fed, session, stdout=full)
        _, errors = await asyncio.to_thread(process.communicate)
    finally:
        os.close(full)
    assert process.returncode == 1
    assert errors == b"Error: the standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_leaves_no_half_file(fed, scalars, monkeypatch, tmp_path, number):
    """Ended in the middle, it leaves what was there before, nothing else, and no traceback."""
    session = await fed.session(scalars("loss", [1.0]))
    target = tmp_path / "exports" / "out.csv"
    target.parent.mkdir()
    target.write_text("before")
    reached = asyncio.Event()
    metrics = fed.server.backend.store.metrics

    async def endless(session_id, query):
        if query.max_points:
            return await metrics(session_id, query)
        reached.set()
        return await asyncio.Event().wait()

    monkeypatch.setattr(fed.server.backend.store, "metrics", endless)
    process = export_process(fed, session, "-o", str(target), "--force")
    await asyncio.wait_for(reached.wait(), 30)
    assert len(list(target.parent.iterdir())) == 2
    process.send_signal(number)
    _, errors = await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert errors.split() == [b"Aborted!"]
    assert [path.name for path in target.parent.iterdir()] == ["out.csv"]
    assert target.read_text() == "before"


async def test_parquet_is_kept_from_terminals(fed):
    """Binary is not written where someone would see it."""
    here, there = os.openpty()
    try:
        process = export_process(fed, "any", "--format", "parquet", stdout=there)
        _, errors = await asyncio.to_thread(process.communicate)
    finally:
        os.close(here)
        os.close(there)
    assert process.returncode == 2
    assert b"name a file with -o" in errors
