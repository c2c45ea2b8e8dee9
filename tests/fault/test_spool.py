"""What was accepted arrives once, whoever is killed: real processes, and the training's own log."""

from __future__ import annotations

import random
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kills.settings import SEED
from stack import Stack, eventually, kill, lines, relay_of
from trainmon.cli.children import Child, trainmon_command
from trainmon.relay.entry import RecordKind, metrics_of
from trainmon.relay.spool.journal import Journal
from trainmon.relay.spool.waiting import abandoned
from viewer import Viewer, viewer

EPOCHS, BATCHES = 10, 113
STEPS = EPOCHS * BATCHES
OPTIONS = ("--epochs", str(EPOCHS), "--rate", "300")
LONG = ("--epochs", "1000", "--rate", "300")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the training writes its losses."""
    return tmp_path / "losses"


@pytest.fixture
def rng() -> random.Random:
    """Random moments; the seed is printed, and TRAINMON_TEST_SEED repeats it."""
    sys.stderr.write(f"TRAINMON_TEST_SEED={SEED}\n")
    return random.Random(SEED)


@pytest.fixture
def nobody() -> str:
    """An address at which a monitor will listen later."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def losses_in(log: Path) -> list[float]:
    """Return what the training wrote down itself."""
    return [float.fromhex(line) for line in log.read_text().split()]


def stored(watching: Viewer, session_id: str) -> list[float]:
    """Return the losses in the store, having checked that each step is there once."""
    series = watching.metrics(session_id, "loss").get("loss")
    if series is None:
        return []
    assert list(series.steps) == [*map(float, range(len(series.steps)))]
    assert not series.counts
    return list(series.values)


def spools(processes: Stack) -> list[Path]:
    """Return the folders that hold what was not delivered."""
    root = processes.home / "spool"
    return sorted(root.iterdir()) if root.exists() else []


def spooled(processes: Stack) -> Path:
    """Wait until the one spool holds something; return its folder."""
    [found] = eventually(
        lambda: [path for path in spools(processes) if any(path.glob("*.frames"))], "a spool"
    )
    return found


def steps_in(folder: Path) -> int:
    """Return how many steps a spool holds that nobody writes."""
    journal = Journal(folder, 1 << 20)
    try:
        entries = journal.read(1, 1 << 30)
    finally:
        journal.close()
    scalars = [metrics_of(entry) for entry in entries if entry.kind is RecordKind.SCALARS]
    series = [each for data in scalars for each in data.series if each.name == "loss"]
    return sum(len(each.steps) for each in series)


def at_step(log: Path, step: int) -> None:
    """Wait until the training has written down so many losses."""
    eventually(lambda: lines(log), f"{step} steps", until=lambda count: count >= step)


def kill_relays(training: Child, log: Path, moments: list[int]) -> None:
    """Kill the relay whenever the training reaches a step; the last one it starts may live."""
    dead = 0
    for moment in moments:
        at_step(log, moment)
        found = eventually(
            lambda: relay_of(training),
            "another relay",
            until=lambda relay, dead=dead: relay.pid != dead,
        )
        dead = found.pid
        kill(dead)


def moments_of(rng: random.Random, count: int) -> list[int]:
    """Return steps at random, apart enough for a relay to start between."""
    part = (STEPS - 400) // count
    return [100 + index * part + rng.randrange(part // 2) for index in range(count)]


def delivered(watching: Viewer, log: Path) -> None:
    """Check that every step of a whole run is stored once, with what the training had."""
    session = watching.in_state("COMPLETED")
    expected = losses_in(log)
    assert len(expected) == STEPS
    assert stored(watching, session.session_id) == expected
    snapshot = watching.snapshot(session.session_id)
    assert snapshot.missing_records == 0
    assert [epoch.epoch for epoch in snapshot.epochs] == list(range(EPOCHS))


def test_relays_killed_while_nobody_listens(
    processes: Stack, log: Path, nobody: str, rng: random.Random
) -> None:
    """Three relays die before the monitor comes: it gets every step, and each epoch's true mean."""
    training = processes.training(nobody, *OPTIONS, "--log", str(log), TRAINMON_RELAY_LINGER="30")
    kill_relays(training, log, moments_of(rng, 3))
    assert training.wait(60) == 0
    _, address = processes.monitor(int(nobody.rpartition(":")[2]))
    with viewer(address) as watching:
        delivered(watching, log)
        expected = losses_in(log)
        session = watching.in_state("COMPLETED")
        for epoch in watching.snapshot(session.session_id).epochs:
            own = expected[epoch.epoch * BATCHES : (epoch.epoch + 1) * BATCHES]
            assert epoch.average_loss == pytest.approx(sum(own) / BATCHES, rel=1e-12)
    eventually(lambda: spools(processes), "no spool is left", until=lambda found: not found)


def test_relays_and_monitor_killed(processes: Stack, log: Path, rng: random.Random) -> None:
    """With the link up, in turns: nothing is missing once both are back."""
    monitor, address = processes.monitor()
    port = int(address.rpartition(":")[2])
    training = processes.training(address, *OPTIONS, "--log", str(log), TRAINMON_RELAY_LINGER="30")
    first, second, third = moments_of(rng, 3)
    kill_relays(training, log, [first])
    at_step(log, second)
    kill(monitor.pid)
    kill_relays(training, log, [third])
    assert training.wait(60) == 0
    _, address = processes.monitor(port)
    with viewer(address) as watching:
        delivered(watching, log)


def test_training_and_relay_killed_then_sync(
    processes: Stack, log: Path, nobody: str, rng: random.Random
) -> None:
    """Both die while the monitor is away: `trainmon sync` delivers it, and says what happened."""
    training = processes.training(nobody, *LONG, "--log", str(log))
    folder = spooled(processes)
    at_step(log, lines(log) + 100 + rng.randrange(300))
    relay = relay_of(training).pid
    for pid in rng.sample([training.pid, relay], 2):
        kill(pid)
    training.wait(30)
    eventually(lambda: abandoned(processes.home), "nobody holds the spool")
    accepted = steps_in(folder)
    assert accepted > 0
    _, address = processes.monitor()
    sync = processes.start("sync", trainmon_command("sync", "--monitor", address))
    assert sync.wait(60) == 0, sync.output.read()
    assert "delivered, as session" in sync.output.read()
    assert not folder.exists()
    with viewer(address) as watching:
        session = watching.in_state("DIED")
        expected = losses_in(log)
        found = stored(watching, session.session_id)
        assert len(found) == accepted
        assert found[: len(expected)] == expected[: len(found)]
        message = watching.snapshot(session.session_id).summary.status_message
        assert f"the training process (pid {training.pid}) and its relay died" in message


def test_sync_leaves_a_living_run_alone(processes: Stack, log: Path, nobody: str) -> None:
    """Its own relay delivers it; the command says so, and takes nothing away."""
    training = processes.training(nobody, *LONG, "--log", str(log))
    folder = spooled(processes)
    relay = relay_of(training).pid
    sync = processes.start("sync", trainmon_command("sync"), TRAINMON_MONITOR=nobody)
    assert sync.wait(60) == 0
    assert f"being delivered by process {relay}" in sync.output.read()
    assert folder.exists()


@pytest.fixture(params=["no folder", "no space"])
def broken_home(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return settings with which a relay cannot write its spool."""
    if request.param == "no folder":
        (tmp_path / "file").write_text("")
        return {"TRAINMON_HOME": str(tmp_path / "file" / "home")}
    full = tmp_path / "full"
    (full / "sitecustomize.py").parent.mkdir()
    (full / "sitecustomize.py").write_text(FULL_DISK)
    return {"PYTHONPATH": str(full)}


#: A disk on which nothing longer than a lock can be written.
FULL_DISK = """
import errno, os
real = os.pwrite
def pwrite(descriptor, data, offset):
    if len(data) > 30:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(descriptor, data, offset)
os.pwrite = pwrite
"""


def test_a_disk_that_cannot_be_written(
    processes: Stack, log: Path, broken_home: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """With the link up everything arrives all the same; the place and what to do are said once."""
    _, address = processes.monitor()
    training = processes.training(address, *OPTIONS, "--log", str(log), **broken_home)
    assert training.wait(60) == 0
    with viewer(address) as watching:
        delivered(watching, log)
        session = watching.in_state("COMPLETED")
        notes = watching.snapshot(session.session_id).notes
        assert sum("cannot be written" in note for note in notes) == 1
    said = capfd.readouterr().err
    assert said.count("cannot be written") == 1
    assert "TRAINMON_HOME" in said
