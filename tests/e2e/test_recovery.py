"""Gateway, monitor and relay killed and restarted in turn: the page comes back on its own."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

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


#: Notes every moment at which a panel that had something to show shows nothing.
NOTE_EMPTINESS = """
() => {
  window.emptied = [];
  const look = () => {
    const tiles = [...document.querySelectorAll('[data-testid="tile"]')];
    if (!tiles.some((tile) => tile.dataset.step)) window.emptied.push("tiles");
    if (!document.querySelector('[data-testid="loss-chart"] canvas')) window.emptied.push("curve");
    if (!document.querySelector('[aria-label="Epoch table"]')) window.emptied.push("epochs");
    if (!document.querySelector('[data-testid="command-record"]')) window.emptied.push("commands");
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true,
    attributes: true, attributeFilter: ["data-step"] });
}
"""


def test_monitor_restarted_on_the_same_history(
    processes: Stack, dashboard: Dashboard, console
) -> None:
    """The page comes back by itself, keeps what it shows, and shows nothing twice."""
    console.expected += [*AWAY, "503"]
    monitor, address = processes.monitor()
    _, page = processes.gateway(address)
    processes.training(address, "--epochs", "1000")
    dashboard.open_only_session(page)
    dashboard.wait_for_step(250, timeout_s=60)
    dashboard.part("learning-rate-input").fill("0.01")
    dashboard.part("learning-rate-apply").click()
    expect(dashboard.command("applied")).to_have_count(1)
    table = dashboard.page.get_by_role("region", name="Epoch table")
    expect(table).to_be_visible()
    eventually(dashboard.tile_steps, "tiles", until=lambda steps: steps[0] is not None)
    dashboard.page.evaluate(NOTE_EMPTINESS)
    kill(monitor.pid)
    lost = dashboard.step()
    eventually(
        lambda: dashboard.part("link-state").inner_text().lower(),
        "the page says that the monitor is away",
        until=lambda text: "live" not in text,
    )
    processes.monitor(port_of(address))
    dashboard.wait_for_step(lost + 240, timeout_s=45)
    dashboard.wait_for_state("running")
    assert dashboard.page.evaluate("window.emptied") == []
    expect(dashboard.part("command-record")).to_have_count(1)
    epochs = table.get_by_role("rowheader").all_inner_texts()
    numbers = [int(text.split()[0]) for text in epochs]
    assert numbers == list(range(numbers[0], 0, -1))
    # The first steps are in the new monitor's history, too.
    dashboard.page.reload()
    slider = dashboard.page.get_by_role("slider", name="Loss per batch: step shown")
    slider.press("Home")
    expect(dashboard.part("past-bar")).to_have_attribute("data-frame-step", "0")
