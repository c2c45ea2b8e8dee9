"""``trainmon demo``: three processes, a network that learns, and a clean end."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from stack import Stack, eventually
from trainmon.cli.children import trainmon_command
from trainmon.v1.control_pb2 import Stop
from viewer import viewer

pytestmark = pytest.mark.timeout(120)


def test_it_learns(processes: Stack, tmp_path: Path) -> None:
    """The network reaches 95 % on digits it has not seen, and the demo can end with it."""
    command = trainmon_command(
        "demo", "--port", "0", "--epochs", "20", "--rate", "0", "--exit-when-done"
    )
    demo = processes.start("demo", command)
    output = demo.output.read()
    assert demo.wait(30) == 0
    accuracy = re.search(r"validation accuracy: ([\d.]+)%", output)
    assert accuracy is not None, output
    assert float(accuracy[1]) >= 95


def test_ctrl_c_ends_everything(processes: Stack) -> None:
    """Ctrl-C ends the training, the gateway, the monitor and the relay; nothing is left."""
    demo = processes.start("demo", trainmon_command("demo", "--port", "0"))
    address = demo.announced("monitor")
    demo.announced("dashboard")
    demo.pass_on(sys.stderr)
    with viewer(address) as seen:
        seen.at_step(60)
    family = psutil.Process(demo.pid).children(recursive=True)
    assert len(family) >= 4
    demo.interrupt()
    assert demo.wait(30) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_the_rate_is_near_sixty(processes: Stack) -> None:
    """The demo trains near 60 batches a second and says so."""
    demo = processes.start("demo", trainmon_command("demo", "--port", "0"))
    with viewer(demo.announced("monitor")) as seen:
        demo.pass_on(sys.stderr)
        summary = seen.session(lambda found: found.current_fps > 0 and found.global_step > 240)
        assert 40 < summary.current_fps < 70


def test_stop_ends_the_training_and_the_page_stays(processes: Stack) -> None:
    """After a stop the dashboard still shows the run."""
    demo = processes.start("demo", trainmon_command("demo", "--port", "0"))
    with viewer(demo.announced("monitor")) as seen:
        demo.pass_on(sys.stderr)
        session = seen.at_step(30)
        seen.send(session.session_id, stop=Stop())
        seen.in_state("STOPPED")
        eventually(lambda: not _training_of(demo.pid), "the training's process has ended")
        assert seen.in_state("STOPPED").session_id == session.session_id
    assert demo.wait(0) is None


def _training_of(pid: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # it ended, or is about to be waited for
            if "trainmon.demo" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_a_taken_port_is_told(processes: Stack) -> None:
    """With the port taken the demo ends with what to do, and leaves nothing running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        demo = processes.start("demo", trainmon_command("demo", "--port", port))
        output = demo.output.read()
        assert demo.wait(30) == 1
    assert port in output
    assert "--port" in output
    assert "Traceback" not in output
