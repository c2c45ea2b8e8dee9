"""How runs end, as the monitor is told: by themselves, an error, Ctrl-C, a stop, a kill."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

import trainmon
from stack import Stack, eventually, kill
from trainmon.channel import Word
from trainmon.config import Settings
from trainmon.v1.control_pb2 import Pause, Stop
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest
from trainmon_gateway.v1.telemetry_pb2_grpc import TelemetryServiceStub
from viewer import Viewer, viewer

if TYPE_CHECKING:
    from trainmon.cli.children import Child

HEAD = """
import sys, time, trainmon
def steps(session, count=10**9):
    for step in range(count):
        session.batch_end(loss=1 / (step + 1))
        session.control_point()
        time.sleep(0.002)
"""


@pytest.fixture
def monitor(processes: Stack) -> str:
    """The address of a monitor."""
    return processes.monitor()[1]


@pytest.fixture
def seen(monitor: str) -> Iterator[Viewer]:
    """What a viewer of it sees."""
    with viewer(monitor) as watching:
        yield watching


@pytest.fixture
def script(processes: Stack, monitor: str, tmp_path: Path):
    """Return what runs a script with a session's head."""

    def run(text: str) -> Child:
        path = tmp_path / "script.py"
        path.write_text(HEAD + text)
        child = processes.start("script", [sys.executable, str(path)], TRAINMON_MONITOR=monitor)
        child.pass_on(sys.stderr)
        return child

    return run


def test_completed(script, seen: Viewer) -> None:
    """A script that runs to its end shows as completed, with every step in the store."""
    child = script("with trainmon.start_session('run') as session: steps(session, 200)")
    assert child.wait(30) == 0
    summary = seen.in_state("COMPLETED")
    assert summary.global_step == 199
    loss = seen.metrics(summary.session_id, "loss")["loss"]
    assert list(loss.steps) == list(range(200))
    assert list(loss.values) == [1 / (step + 1) for step in range(200)]


def test_without_with(script, seen: Viewer) -> None:
    """A script that never closes its session is closed at exit."""
    assert script("steps(trainmon.start_session('run'), 50)").wait(30) == 0
    assert seen.in_state("COMPLETED").global_step == 49


WITH = "with trainmon.start_session('run') as session:\n    steps(session, 20)\n    raise {}"
WITHOUT = "steps(trainmon.start_session('run'), 20)\nraise {}"


@pytest.mark.parametrize("text", [WITH, WITHOUT], ids=["with", "without"])
def test_failed(script, seen: Viewer, text: str) -> None:
    """A script that raises shows as failed with the error's type, with and without `with`."""
    assert script(text.format("ValueError('bad batch')")).wait(30) == 1
    assert seen.in_state("FAILED").status_message == "ValueError: bad batch"


def test_ctrl_c(script, seen: Viewer) -> None:
    """Ctrl-C shows as stopped from the keyboard, and still ends the script as Ctrl-C does."""
    child = script("with trainmon.start_session('run') as session: steps(session)")
    seen.at_step(20)
    child.interrupt()
    assert child.wait(30) == -signal.SIGINT
    assert "KeyboardInterrupt" in seen.in_state("STOPPED").status_message


def test_stop(script, seen: Viewer) -> None:
    """A stop leaves the `with`, runs what comes after it, and shows as stopped by whom."""
    child = script("with trainmon.start_session('run') as session: steps(session)\nsys.exit(7)")
    summary = seen.at_step(20)
    record = seen.send(summary.session_id, stop=Stop())
    assert child.wait(30) == 7
    assert "a test" in seen.in_state("STOPPED").status_message
    done = seen.command(summary.session_id, record.command.command_id, "APPLIED")
    assert done.result.applied_at_step > 20


def test_killed(script, seen: Viewer) -> None:
    """Kill -9 of the training shows as died, and what it had handed over is stored."""
    child = script("with trainmon.start_session('run') as session: steps(session)")
    seen.at_step(50)
    kill(child.pid)
    summary = seen.in_state("DIED")
    loss = seen.metrics(summary.session_id, "loss")["loss"]
    assert list(loss.steps) == list(range(summary.global_step + 1))


def test_ctrl_c_in_a_pause(script, seen: Viewer) -> None:
    """A paused training answers to Ctrl-C."""
    child = script("with trainmon.start_session('run') as session: steps(session)")
    summary = seen.at_step(20)
    seen.send(summary.session_id, pause=Pause())
    seen.in_state("PAUSED")
    child.interrupt()
    assert child.wait(30) == -signal.SIGINT
    seen.in_state("STOPPED")


def test_fork(script, seen: Viewer) -> None:
    """A forked child's copy is inert: it neither records nor ends the parent's run."""
    child = script(
        "import os\n"
        "with trainmon.start_session('run') as session:\n"
        "    steps(session, 10)\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        steps(session, 1000)\n"
        "        session.close('FAILED', 'the child')\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    steps(session, 10)\n"
    )
    assert child.wait(30) == 0
    assert seen.in_state("COMPLETED").global_step == 19


def test_a_forked_child_closes_the_descriptors_and_nothing_else(script, seen: Viewer) -> None:
    """A child has what was open before the session and no more, and the parent's relay lives on."""
    child = script(
        "import os\n"
        "def is_open(number):\n"
        "    try: os.fstat(number)\n"
        "    except OSError: return False\n"
        "    return True\n"
        "def opened(): return {number for number in range(1024) if is_open(number)}\n"
        "before = opened()\n"
        "with trainmon.start_session('run') as session:\n"
        "    steps(session, 10)\n"
        "    held, relay = opened(), session.relay_pid\n"
        "    assert held > before, held\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os._exit(0 if opened() == before else 1)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    assert opened() == held\n"
        "    steps(session, 10)\n"
        "    assert session.relay_pid == relay\n"
        "assert opened() == before\n"
    )
    assert child.wait(30) == 0
    assert seen.in_state("COMPLETED").global_step == 19


def test_a_run_that_the_monitor_sent_away_is_told_as_that(
    monitor: str,
    seen: Viewer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once a relay was sent away for good, the end waits for nobody and tells the truth."""
    settings = Settings.from_environment(monitor=monitor, exit_timeout_s=60)
    with trainmon.start_session("run", settings=settings) as session:
        session.batch_end(loss=1.0)
        seen.in_state("RUNNING")
        with grpc.insecure_channel(monitor) as channel:
            TelemetryServiceStub(channel).RegisterTrainingSession(
                RegisterTrainingSessionRequest(
                    run_key=session.info.run_key, producer_id=session.info.producer_id
                )
            )
        eventually(session._relay.is_over, "the relay has left for good")
        session._channel.block.words[Word.LINK_LOST_NS] -= 10_000_000_000
        session._relay._next_check_ns = 0
        session.batch_end(loss=1.0)
        monkeypatch.setattr(session._relay, "wait", lambda _: pytest.fail("it waits for nobody"))
    assert "no monitor answers" not in caplog.text
    (told,) = caplog.messages
    assert told.startswith(f"trainmon: the monitor at {monitor} wanted nothing more of this run")


def test_relay_leaves_with_the_training(script, seen: Viewer) -> None:
    """When all is delivered no relay is left."""
    import psutil

    child = script("with trainmon.start_session('run') as session: steps(session, 20)")
    assert child.wait(30) == 0
    seen.in_state("COMPLETED")

    def relays() -> list[int]:
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            ours = "test_relay_leaves" in (process.info["environ"] or {}).get("TRAINMON_HOME", "")
            if ours and "trainmon.relay" in (process.info["cmdline"] or []):
                found.append(process.pid)
        return found

    eventually(relays, "no relay is left", until=lambda found: not found)
