"""Finding a monitor and its dashboard, or starting both so that they outlive the training."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import psutil
import pytest

from stack import Stack, eventually
from trainmon.cli import frameworks, up
from trainmon.cli.children import trainmon_command
from trainmon.config import Settings
from trainmon.dashboards import announce, dashboards
from viewer import viewer

ADDRESS = "http://127.0.0.1:1"


@pytest.fixture
def home() -> Path:
    """The isolated TRAINMON_HOME of this test."""
    return Path(os.environ["TRAINMON_HOME"])


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address of this machine at which nobody listens while the test lasts."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_dashboard_is_found_while_it_serves(home: Path) -> None:
    """It is written down as long as it is announced, and gone after."""
    assert dashboards(home) == []
    with announce(home, ADDRESS, "127.0.0.1:2"):
        (found,) = dashboards(home)
        assert (found.pid, found.address, found.monitor) == (os.getpid(), ADDRESS, "127.0.0.1:2")
    assert dashboards(home) == []
    assert list((home / "dashboards").iterdir()) == []


def test_a_dashboard_that_was_killed_is_not_found(home: Path) -> None:
    """What it left behind is told from one that serves, and removed."""
    code = (
        "import sys, time; from pathlib import Path; from trainmon.dashboards import announce\n"
        f"with announce(Path({str(home)!r}), {ADDRESS!r}, '127.0.0.1:2'):\n"
        "    print('announced', flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"announced\n"
        assert [each.pid for each in dashboards(home)] == [process.pid]
        process.kill()
    assert dashboards(home) == []
    assert list((home / "dashboards").iterdir()) == []


def test_a_home_that_cannot_be_written_hides_the_dashboard_only(tmp_path: Path) -> None:
    """Where no file can be made, it serves all the same."""
    (tmp_path / "file").touch()
    with announce(tmp_path / "file", ADDRESS, "127.0.0.1:2"):
        assert dashboards(tmp_path / "file") == []


def test_the_gateway_announces_itself(processes: Stack) -> None:
    """A gateway that serves is found in its home, with its monitor."""
    _, monitor = processes.monitor()
    gateway, page = processes.gateway(monitor)
    (found,) = dashboards(processes.home)
    assert (found.pid, found.address, found.monitor) == (gateway.pid, page, monitor)
    gateway.end()
    assert dashboards(processes.home) == []


def test_without_a_gateway_the_commands_are_told(monkeypatch, capsys, nobody: str) -> None:
    """Nothing is started, and what to install and start is said."""
    monkeypatch.setattr(up, "find_spec", lambda name: None)
    settings = Settings.from_environment(monitor=nobody)
    assert up.bring_up(settings, told=True) == nobody
    told = capsys.readouterr().err
    port = nobody.rpartition(":")[2]
    assert f"no monitor answers at {nobody}" in told
    assert f"trainmon serve --port {port}" in told
    assert f"pip install trainmon-gateway && trainmon gateway --monitor-port {port}" in told


def test_a_monitor_without_a_page_and_without_a_gateway(monkeypatch, processes: Stack) -> None:
    """The monitor's address is said, and how to get a page."""
    _, monitor = processes.monitor()
    monkeypatch.setattr(up, "find_spec", lambda name: None)
    settings = Settings.from_environment(monitor=monitor)
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as noted:
        assert up.bring_up(settings, told=True) == monitor
    assert said.getvalue() == f"monitor: {monitor}\n"
    assert f"trainmon gateway --monitor {monitor}" in noted.getvalue()


def test_the_monitor_of_the_home_is_found_wherever_it_listens(processes: Stack) -> None:
    """Where no address was asked for, the monitor that serves TRAINMON_HOME is used."""
    _, monitor = processes.monitor()
    _, page = processes.gateway(monitor)
    settings = Settings.from_environment(home=processes.home)
    with redirect_stdout(io.StringIO()) as said:
        assert up.bring_up(settings, told=False) == monitor
    assert said.getvalue() == f"dashboard: {page}\n"


def test_a_wrong_address_starts_nothing_beside_what_runs(
    monkeypatch, processes: Stack, nobody: str
) -> None:
    """Asked for where nobody listens, the monitor that is up is named and no other started."""
    _, monitor = processes.monitor()
    monkeypatch.setattr(up, "_start", lambda *arguments: pytest.fail("it started a dashboard"))
    settings = Settings.from_environment(home=processes.home, monitor=nobody)
    with redirect_stderr(io.StringIO()) as noted:
        assert up.bring_up(settings, told=True) == nobody
    assert f"no monitor answers at {nobody}, but one does at {monitor}" in noted.getvalue()


def test_ctrl_c_while_the_dashboard_starts_takes_it_along(monkeypatch, nobody: str) -> None:
    """Who does not wait for it is left with nothing in the background."""
    waiting = [sys.executable, "-c", "import time; time.sleep(100)"]
    started: list[int] = []

    def interrupt(home: Path, known: set[int], pid: int) -> None:
        started.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(up, "trainmon_command", lambda *arguments: waiting)
    monkeypatch.setattr(up, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        up.bring_up(Settings.from_environment(monitor=nobody), told=True)
    eventually(lambda: not psutil.pid_exists(started[0]), "the background process is gone")


def test_a_gateway_that_cannot_start_holds_up_nothing(monkeypatch, capsys, nobody: str) -> None:
    """It is said where to read why, and the training starts."""
    failing = [sys.executable, "-c", "raise SystemExit('no page today')"]
    monkeypatch.setattr(up, "trainmon_command", lambda *arguments: failing)
    settings = Settings.from_environment(monitor=nobody)
    assert up.bring_up(settings, told=True) == nobody
    log = settings.home / "dashboard.log"
    assert f"no dashboard could be started, see {log}" in capsys.readouterr().err
    assert log.read_text() == "no page today\n"


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """Processes that are ended with the test, by their ids, with their children."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=30)
        for each in alive:
            each.kill()
        assert not alive


def test_both_are_started_and_outlive_the_training(
    processes: Stack, tmp_path: Path, ended: list[int]
) -> None:
    """One command is a whole system: the page stays after the training, for the next one too."""
    script = tmp_path / "digits.py"
    script.write_text(
        "import os, psutil, trainmon\n"
        "with trainmon.start_session() as session:\n    session.batch_end(loss=1.0)\n"
        "print('children', len(psutil.Process().children()), flush=True)\n"
    )
    run = trainmon_command("run", str(script))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = f"127.0.0.1:{sock.getsockname()[1]}"
    environment = {"TRAINMON_MONITOR": free, "TRAINMON_EXIT_TIMEOUT": "20"}
    pages = []
    for _ in range(2):
        child = processes.start("run", run, **environment)
        pages.append(child.announced("dashboard"))
        (found,) = dashboards(processes.home)
        if found.pid not in ended:
            ended.append(found.pid)
        assert child.wait(50) == 0
    assert pages == [found.address] * 2
    with viewer(found.monitor) as seen:
        sessions = eventually(seen.sessions, "both runs", until=lambda runs: len(runs) == 2)
    assert {each.session_name for each in sessions} == {"digits"}
    gateway = psutil.Process(found.pid)
    assert gateway.is_running()
    assert os.getsid(gateway.pid) == gateway.pid  # no Ctrl-C of the training's terminal meets it


def test_a_framework_without_its_plugin_gets_one_line(monkeypatch) -> None:
    """One line a plugin, with the command that installs it; those disabled or there get none."""
    monkeypatch.setattr("trainmon._discovery.find_plugins", list)
    present = {"lightning", "pytorch_lightning", "keras"}
    monkeypatch.setattr(frameworks, "find_spec", lambda name: object() if name in present else None)
    lines = frameworks.missing_plugins()
    assert [line.rpartition(": ")[2] for line in lines] == [
        "pip install trainmon-lightning",
        "pip install trainmon-keras",
    ]
    assert frameworks.missing_plugins(("lightning", "keras")) == []


def test_a_module_that_cannot_be_looked_for_is_no_framework(monkeypatch) -> None:
    """A broken installation, or a script's own module of that name, is passed over."""
    monkeypatch.setattr("trainmon._discovery.find_plugins", list)

    def broken(name: str) -> None:
        raise ValueError(f"{name}.__spec__ is None")

    monkeypatch.setattr(frameworks, "find_spec", broken)
    assert frameworks.missing_plugins() == []
