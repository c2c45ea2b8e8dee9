"""Training is sacred: whatever happens to trainmon, every loss is the same to the last bit."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import Stack, eventually, kill, lines, relay_of, stack

#: 113 batches an epoch at 300 a second: two seconds and a half, long enough to be disturbed.
OPTIONS = ("--epochs", "6", "--rate", "300")
STEPS = 6 * 113
NOWHERE = "127.0.0.1:9"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The losses without trainmon."""
    folder = tmp_path_factory.mktemp("undisturbed")
    log = folder / "losses"
    with stack(folder / "home") as processes:
        training = processes.training(NOWHERE, *OPTIONS, "--log", str(log), "--alone")
        assert training.wait(60) == 0
    return log.read_bytes()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the training writes its losses."""
    return tmp_path / "losses"


@pytest.fixture
def hanging_monitor() -> Iterator[str]:
    """Accept connections and never read or answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, name="hanging-monitor")
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def test_log_is_whole(undisturbed: bytes) -> None:
    """The log the others are compared with has every step, and the losses fall."""
    losses = [float.fromhex(line) for line in undisturbed.decode().split()]
    assert len(losses) == STEPS
    assert sum(losses[-50:]) < sum(losses[:50]) / 2


def test_live_monitor(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With a monitor that listens."""
    _, address = processes.monitor()
    training = processes.training(address, *OPTIONS, "--log", str(log))
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed


def test_no_monitor(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With none."""
    training = processes.training(NOWHERE, *OPTIONS, "--log", str(log))
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed


def test_hanging_monitor(
    processes: Stack, log: Path, undisturbed: bytes, hanging_monitor: str
) -> None:
    """With one that accepts and then says nothing."""
    training = processes.training(hanging_monitor, *OPTIONS, "--log", str(log))
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed


def test_monitor_killed(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With one that is killed in mid-run."""
    monitor, address = processes.monitor()
    training = processes.training(address, *OPTIONS, "--log", str(log))
    eventually(lambda: lines(log), "200 steps", until=lambda count: count >= 200)
    kill(monitor.pid)
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed


def test_relay_killed(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With the relay killed in mid-run, twice; the training starts another each time."""
    _, address = processes.monitor()
    training = processes.training(address, *OPTIONS, "--log", str(log))
    eventually(lambda: lines(log), "100 steps", until=lambda count: count >= 100)
    first = relay_of(training)
    kill(first.pid)
    second = eventually(
        lambda: relay_of(training), "another relay", until=lambda found: found.pid != first.pid
    )
    kill(second.pid)
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed


def test_relay_hangs(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With the relay stopped (SIGSTOP), as on a machine without a free core."""
    _, address = processes.monitor()
    training = processes.training(address, *OPTIONS, "--log", str(log))
    eventually(lambda: lines(log), "100 steps", until=lambda count: count >= 100)
    relay = relay_of(training)
    os.kill(relay.pid, signal.SIGSTOP)
    assert training.wait(60) == 0
    os.kill(relay.pid, signal.SIGKILL)
    assert log.read_bytes() == undisturbed


def test_no_relay_at_all(processes: Stack, log: Path, undisturbed: bytes, tmp_path: Path) -> None:
    """With a relay that cannot start: it is tried again, given up, and said once."""
    broken = tmp_path / "broken" / "grpclib"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('broken for a test')\n")
    training = processes.training(
        NOWHERE, *OPTIONS, "--log", str(log), PYTHONPATH=str(broken.parent)
    )
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed
