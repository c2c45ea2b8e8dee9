"""Gateway, monitor and relay killed and restarted in turn: the page comes back on its own."""

from __future__ import annotations

import pytest

from dashboard import Dashboard
from stack import Stack, eventually, kill, relay_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

#: What the browser itself writes when a server is away.
AWAY = [
    r"ERR_CONNECTION_REFUSED",
    r"ERR_EMPTY_RESPONSE",
    r"ERR_CONNECTION_RESET",
    r"ERR_INCOMPLETE",
]


def port_of(address: str) -> int:
    """Return the port of an address."""
    return int(address.rsplit(":", 1)[1])


def test_gateway_killed(processes: Stack, dashboard: Dashboard, console) -> None:
    """The gateway dies: the page says the link is lost, and goes on when there is another."""
    console.expected += AWAY
    _, monitor = processes.monitor()
    gateway, address = processes.gateway(monitor)
    processes.training(monitor, "--epochs", "1000")
    dashboard.open_only_session(address)
    dashboard.wait_for_step(60)
    kill(gateway.pid)
    lost = dashboard.step()
    eventually(
        lambda: dashboard.part("link-state").inner_text().lower(),
        "the page says that the link is lost",
        until=lambda text: "live" not in text,
    )
    processes.gateway(monitor, port_of(address))
    dashboard.wait_for_step(lost + 120, timeout_s=45)


def test_monitor_killed(processes: Stack, dashboard: Dashboard, console) -> None:
    """The monitor dies: gateway and page survive it, and the run comes back under its own id."""
    console.expected += [*AWAY, "503"]
    monitor, address = processes.monitor()
    _, page = processes.gateway(address)
    processes.training(address, "--epochs", "1000")
    dashboard.open_only_session(page)
    url = dashboard.page.url
    dashboard.wait_for_step(60)
    kill(monitor.pid)
    lost = dashboard.step()
    eventually(
        lambda: dashboard.part("link-state").inner_text().lower(),
        "the page says that the monitor is away",
        until=lambda text: "live" not in text,
    )
    processes.monitor(port_of(address))
    dashboard.wait_for_step(lost + 120, timeout_s=45)
    dashboard.wait_for_state("running")
    assert dashboard.page.url == url


def test_relay_killed(processes: Stack, dashboard: Dashboard) -> None:
    """The relay dies: the training starts another, and the page follows the same run."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    training = processes.training(monitor, "--epochs", "1000")
    dashboard.open_only_session(address)
    dashboard.wait_for_step(60)
    kill(relay_of(training).pid)
    dashboard.wait_for_step(dashboard.step() + 180, timeout_s=45)
    dashboard.wait_for_state("running")
    dashboard.open(address)
    eventually(dashboard.part("session-row").count, "one session", until=lambda count: count == 1)


def test_training_killed(processes: Stack, dashboard: Dashboard) -> None:
    """The training dies: the page says that the process died, and keeps what was seen."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    training = processes.training(monitor, "--epochs", "1000")
    dashboard.open_only_session(address)
    dashboard.wait_for_step(60)
    kill(training.pid)
    dashboard.wait_for_state("died")
    assert dashboard.step() >= 60
