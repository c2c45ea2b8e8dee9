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
from trainmon.v1.dashboard_pb2 import SessionState
from viewer import viewer
from watching import watch_to_the_end

#: 113 batches an epoch at 300 a second: two seconds and a half, long enough to be disturbed.
OPTIONS = ("--epochs", "6", "--rate", "300")
STEPS = 6 * 113
NOWHERE = "127.0.0.1:9"
RUNNING = SessionState.SESSION_STATE_RUNNING


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


class HangingMonitor:
    """Accepts connections and never reads or answers."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.address = f"127.0.0.1:{server.getsockname()[1]}"
        self.held: list[socket.socket] = []
        """Every connection that was accepted."""

    def accept(self) -> None:
        """Accept until the server is shut down."""
        while True:
            try:
                self.held.append(self._server.accept()[0])
            except OSError:
                return


@pytest.fixture
def hanging_monitor() -> Iterator[HangingMonitor]:
    """Give a monitor that accepts and hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monitor = HangingMonitor(server)
        thread = threading.Thread(target=monitor.accept, name="hanging-monitor")
        thread.start()
        yield monitor
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in monitor.held:
            connection.close()


def test_log_is_whole(undisturbed: bytes) -> None:
    """The log the others are compared with has every step, and the losses fall."""
    losses = [float.fromhex(line) for line in undisturbed.decode().split()]
    assert len(losses) == STEPS
    assert sum(losses[-50:]) < sum(losses[:50]) / 2


def test_live_monitor(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With a monitor that listens, and a viewer who gets pictures as fast as they come."""
    _, address = processes.monitor()
    # As slow as the page paints, so that a machine with other work to do shows more than one.
    training = processes.training(address, *OPTIONS, "--rate", "60", "--log", str(log))
    with viewer(address) as seen:
        session_id = seen.session().session_id
        pictures = watch_to_the_end(seen, session_id, training, 60)
        ended = seen.in_state("COMPLETED")
        losses = seen.metrics(session_id, "loss")["loss"]
    assert log.read_bytes() == undisturbed
    assert ended.global_step == STEPS - 1
    # More than the key frames that come for the history: one now, and one after ten seconds.
    assert len(set(pictures)) > 5
    assert [value.hex() for value in losses.values] == undisturbed.decode().split()


def test_no_monitor(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With none."""
    training = processes.training(NOWHERE, *OPTIONS, "--log", str(log))
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed


def test_hanging_monitor(
    processes: Stack, log: Path, undisturbed: bytes, hanging_monitor: HangingMonitor
) -> None:
    """With one that accepts and then says nothing."""
    training = processes.training(hanging_monitor.address, *OPTIONS, "--log", str(log))
    assert training.wait(60) == 0
    assert hanging_monitor.held
    assert log.read_bytes() == undisturbed


def test_monitor_killed(processes: Stack, log: Path, undisturbed: bytes) -> None:
    """With one that is killed in mid-run, while it hears of every step."""
    monitor, address = processes.monitor()
    # Slowly, so that there is a middle, however late the relay comes to its first turn.
    training = processes.training(address, *OPTIONS, "--rate", "60", "--log", str(log))
    with viewer(address) as seen:
        seen.session(lambda summary: summary.state == RUNNING and summary.global_step >= 1)
    kill(monitor.pid)
    assert lines(log) < STEPS, "the training was over before the monitor was killed"
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


def test_no_relay_at_all(
    processes: Stack,
    log: Path,
    undisturbed: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a relay that cannot start: it is tried again, and the reason said once."""
    broken = tmp_path / "broken" / "grpclib"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('broken for a test')\n")
    training = processes.training(
        NOWHERE, *OPTIONS, "--log", str(log), PYTHONPATH=str(broken.parent)
    )
    assert training.wait(60) == 0
    assert log.read_bytes() == undisturbed
    training.end()  # everything it wrote is here
    assert capsys.readouterr().err.count("ImportError: broken for a test") == 1
