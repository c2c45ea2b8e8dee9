"""``trainmon serve`` and ``trainmon sessions`` as processes; the lock of a TRAINMON_HOME."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from grpclib.client import Channel

from trainmon.cli.serve import is_loopback
from trainmon.errors import HomeLockedError
from trainmon.monitor.lock import HomeLock, read_holder
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.dashboard_pb2 import ListSessionsRequest
from trainmon.v1.telemetry_grpc import TelemetryServiceStub
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest

TIMEOUT_S = 30


def run(*arguments, **environment):
    """Run a trainmon command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "trainmon.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )


@pytest.fixture
def serve():
    """Return what starts ``trainmon serve`` and returns the process and where it listens."""
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "trainmon.cli", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        line = process.stdout.readline()
        assert line.startswith("monitor: "), process.communicate(timeout=TIMEOUT_S)
        return process, line.removeprefix("monitor: ").strip()

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT_S)


async def call(address, act):
    """Run something with both stubs of a monitor."""
    host, port = address.rsplit(":", 1)
    channel = Channel(host.strip("[]"), int(port))
    try:
        return await act(TelemetryServiceStub(channel), DashboardServiceStub(channel))
    finally:
        channel.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_where_it_says_and_ends_on_a_signal(serve, number):
    """Port 0 takes a free one; the line comes when it answers; a signal ends it with status 0."""
    process, address = serve("--port", "0")

    async def ask(_, dashboard):
        return await dashboard.ListSessions(ListSessionsRequest())

    assert asyncio.run(call(address, ask)).timestamp_ms
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert "Traceback" not in out + err


def test_a_signal_ends_it_with_streams_open(serve):
    """An open stream hears UNAVAILABLE and does not hold up the end."""
    process, address = serve("--port", "0")

    async def watch(_, dashboard):
        from trainmon.v1.dashboard_pb2 import WatchSessionsRequest

        async with dashboard.WatchSessions.open() as stream:
            await stream.send_message(WatchSessionsRequest(), end=True)
            await stream.recv_message()
            process.send_signal(signal.SIGTERM)
            while await asyncio.wait_for(stream.recv_message(), TIMEOUT_S) is not None:
                pass
            # Asked for, as grpclib passes over them where the connection is closing already.
            await stream.recv_trailing_metadata()

    with pytest.raises(Exception, match="shutting down"):
        asyncio.run(call(address, watch))
    assert process.wait(TIMEOUT_S) == 0


def test_a_port_in_use_is_told(tmp_path):
    """The message says which port, who may hold it and what to do; no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_machines_are_refused_without_the_flag():
    """Loopback only, unless it is said that there are no passwords."""
    done = run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "--insecure-no-auth" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_machines_are_served_with_the_flag(serve):
    """With the flag it listens where it is told."""
    _, address = serve("--host", "0.0.0.0", "--port", "0", "--insecure-no-auth")
    assert address.startswith("0.0.0.0:")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("::", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_what_is_loopback(host, local):
    """Only addresses that no other machine can reach."""
    assert is_loopback(host) is local


def test_one_monitor_for_each_home(serve, tmp_path):
    """A second monitor is refused with the holder's pid and address; another home is free."""
    process, address = serve("--port", "0")
    done = run("serve", "--port", "0")
    assert done.returncode == 1
    assert f"pid {process.pid}, {address}" in done.stderr
    assert "TRAINMON_HOME" in done.stderr
    serve("--port", "0", TRAINMON_HOME=str(tmp_path / "another"))


def test_a_killed_monitor_leaves_no_lock(serve):
    """The lock goes with the process, however it ends."""
    process, _ = serve("--port", "0")
    process.kill()
    process.wait(TIMEOUT_S)
    serve("--port", "0")


def test_an_unknown_store_is_a_bad_setting():
    """A URL no plugin opens is told with the variable's name, status 2."""
    done = run("serve", "--port", "0", TRAINMON_STORE="postgres://nowhere")
    assert done.returncode == 2
    assert "TRAINMON_STORE" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_is_no_folder_is_told(tmp_path):
    """A home in which nothing can be written is a bad setting with its reason, not a traceback."""
    (tmp_path / "file").touch()
    done = run("serve", "--port", "0", TRAINMON_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 2
    assert "TRAINMON_HOME" in done.stderr
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lock_names_its_holder(tmp_path):
    """Whoever finds the lock taken can read who holds it and where that listens."""
    home = tmp_path / "new" / "home"
    assert read_holder(home) is None
    with HomeLock(home) as lock:
        assert read_holder(home).address == ""
        with pytest.raises(HomeLockedError, match="still starting"), HomeLock(home):
            pass
        lock.announce("127.0.0.1:1")
        with pytest.raises(HomeLockedError) as raised, HomeLock(home):
            pass
        assert raised.value.holder == f"pid {os.getpid()}, 127.0.0.1:1"
    with HomeLock(home):
        pass
    assert read_holder(home) is None
    assert Path(home / "monitor.lock").stat().st_mode & 0o077 == 0


def test_sessions_are_shown_as_a_table(serve):
    """One line a session, the newest first; a name cannot move the terminal's cursor."""
    _, address = serve("--port", "0")
    assert "knows no sessions yet" in run("sessions", "--monitor", address).stdout

    async def register(telemetry, _):
        for name in ("older", "newer\x1b[2J\n"):
            request = RegisterTrainingSessionRequest(session_name=name, total_epochs=3)
            await telemetry.RegisterTrainingSession(request)

    asyncio.run(call(address, register))
    done = run("sessions", TRAINMON_MONITOR=address)
    heading, *rows = done.stdout.splitlines()
    assert heading.split()[:3] == ["SESSION", "NAME", "FRAMEWORK"]
    assert ["newer?[2J?" in rows[0], "older" in rows[1]] == [True, True]
    assert "starting" in rows[0]
    assert "1/3" in rows[0]


def test_an_absent_monitor_is_told():
    """Nobody there: one line that says how to start one, status 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = run("sessions", "--monitor", f"127.0.0.1:{free.getsockname()[1]}")
    assert done.returncode == 1
    assert "trainmon serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_newer_history_is_refused(serve, tmp_path):
    """A monitor that cannot read the history says which file and what to do, and does not start."""
    folder = tmp_path / "history"
    process, _ = serve("--port", "0", TRAINMON_STORE=f"sqlite:{folder}")
    process.terminate()
    process.wait(TIMEOUT_S)
    with closing(sqlite3.connect(folder / "history.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
    done = run("serve", "--port", "0", TRAINMON_STORE=f"sqlite:{folder}")
    assert done.returncode == 1
    assert "999" in done.stderr
    assert str(folder / "history.db") in done.stderr
    assert "Traceback" not in done.stderr
