"""``trainmon gateway`` as a process."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from trainmon.cli.children import Child, trainmon_command

SOON_S = 40.0


@pytest.fixture
def start():
    """Return a function that starts a trainmon command; it is ended with the test."""
    with contextlib.ExitStack() as stack:

        def start_(*arguments):
            child = Child(arguments[0], trainmon_command(*arguments))
            stack.callback(child.end)
            return child

        yield start_


def run(*arguments):
    """Run a trainmon command to its end."""
    return subprocess.run(
        trainmon_command(*arguments), capture_output=True, text=True, timeout=SOON_S, check=False
    )


def get(url):
    """Return status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=SOON_S) as response:  # noqa: S310 - our own http URL
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ready(dashboard):
    """Wait until the gateway says that its monitor answers; return what it says."""
    deadline = time.monotonic() + SOON_S
    while (answer := get(f"{dashboard}/readyz"))[0] != 200:
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)  # the poll of a bounded wait on another process
    return answer[1]


def monitor_of(gateway):
    """Return the process of the monitor that a gateway started."""
    (child,) = psutil.Process(gateway.pid).children()
    return child


def ended(gateway, number):
    """End a gateway by a signal; return its exit code."""
    psutil.Process(gateway.pid).send_signal(number)
    return gateway.wait(SOON_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_command_is_a_whole_system_and_ends_well(start, number):
    """Without a monitor one is started; both lines are printed; a signal ends both, with 0."""
    gateway = start("gateway", "--port", "0", "--monitor-port", "0")
    address = gateway.announced("monitor")
    dashboard = gateway.announced("dashboard")
    assert address in ready(dashboard)
    monitor = monitor_of(gateway)
    assert ended(gateway, number) == 0
    assert not monitor.is_running()


def test_a_monitor_that_is_given_may_come_later(start):
    """The dashboard is served before its monitor is there; its line is printed when it answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    gateway = start("gateway", "--port", "0", "--monitor", f"127.0.0.1:{port}")
    dashboard = gateway.announced("dashboard")
    status, text = get(f"{dashboard}/readyz")
    assert status == 503
    assert f"127.0.0.1:{port}" in text
    start("serve", "--port", str(port)).announced("monitor")
    assert gateway.announced("monitor") == f"127.0.0.1:{port}"
    assert ended(gateway, signal.SIGTERM) == 0


def test_a_home_that_is_served_is_used(start):
    """Where a monitor serves the TRAINMON_HOME already, that one is used, and left running."""
    monitor = start("serve", "--port", "0")
    address = monitor.announced("monitor")
    gateway = start("gateway", "--port", "0")
    assert gateway.announced("monitor") == address
    assert address in ready(gateway.announced("dashboard"))
    assert psutil.Process(gateway.pid).children() == []
    assert ended(gateway, signal.SIGTERM) == 0
    assert monitor.wait(0) is None


def test_a_monitor_that_dies_is_started_again(start):
    """The gateway's own monitor, killed, is replaced at the same address."""
    gateway = start("gateway", "--port", "0", "--monitor-port", "0")
    gateway.announced("monitor")
    dashboard = gateway.announced("dashboard")
    gateway.pass_on(sys.stderr)
    before = ready(dashboard)
    first = monitor_of(gateway)
    first.kill()
    first.wait(SOON_S)
    deadline = time.monotonic() + SOON_S
    while {each.pid for each in psutil.Process(gateway.pid).children()} <= {first.pid}:
        assert time.monotonic() < deadline, "no other monitor was started"
        time.sleep(0.02)  # the poll of a bounded wait on another process
    assert ready(dashboard) == before
    assert ended(gateway, signal.SIGTERM) == 0


def test_a_port_in_use_is_told_with_what_to_do():
    """A taken port ends the command with 1 and a message that names it, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = run("gateway", "--port", port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_monitor_port_in_use_is_told_in_the_monitors_words(start):
    """When the monitor cannot start, its own words are shown, and the command ends with 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = run("gateway", "--port", "0", "--monitor-port", port)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "--insecure-no-auth"),
        (("--host", "::"), "--insecure-no-auth"),
        (("--monitor", "nonsense"), "--monitor"),
        (("--monitor", "a..b:50051"), "--monitor"),
        (("--monitor", "127.0.0.1:1", "--monitor-port", "2"), "give one"),
        (("--allow-host", "http://x"), "--allow-host"),
        (("--port", "70000"), "70000"),
    ],
)
def test_bad_options_are_told_and_end_with_2(arguments, words):
    """An option that cannot be used ends the command with 2 and says how to mend it."""
    done = run("gateway", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_host_that_is_not_ours_is_told():
    """An address of another machine ends the command with 1 and a message."""
    done = run("gateway", "--host", "192.0.2.1", "--insecure-no-auth", "--port", "0")
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_listing_the_commands_imports_nothing_heavy():
    """The module that adds the subcommand imports neither server nor gRPC."""
    code = (
        "import sys, trainmon_gateway.cli;"
        "print([m for m in ('grpc', 'sonora', 'uvicorn', 'grpclib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SOON_S, check=True
    )
    assert done.stdout.strip() == "[]"
