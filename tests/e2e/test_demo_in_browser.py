"""``trainmon demo`` as a newcomer meets it: one command, its address opened in a browser."""

from __future__ import annotations

import re
import sys

import psutil
import pytest
from playwright.sync_api import expect

from dashboard import Dashboard
from stack import Stack, eventually
from trainmon.cli.children import trainmon_command

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]


def applied_at(dashboard: Dashboard, action: str) -> int:
    """Return the step at which the record says that an action was applied."""
    row = dashboard.command("applied").filter(has_text=action)
    expect(row).to_have_count(1)
    found = re.search(r"applied at step ([\d\u2009]+)", row.inner_text())
    assert found is not None, row.inner_text()
    return int(found[1].replace("\u2009", ""))


def test_the_demo_is_seen_and_steered(processes: Stack, dashboard: Dashboard) -> None:
    """It learns before one's eyes, is paused, resumed, slowed and stopped, and ends with Ctrl-C."""
    demo = processes.start("demo", trainmon_command("demo", "--port", "0"))
    address = demo.announced("dashboard")
    demo.pass_on(sys.stderr)
    dashboard.open_only_session(address)

    expect(dashboard.part("tile")).to_have_count(16)
    tiles = eventually(dashboard.tile_steps, "tiles", until=lambda steps: steps[0])
    loss = eventually(lambda: dashboard.number("loss-value"), "a loss") or 0
    rate = eventually(lambda: dashboard.number("training-fps"), "a frame rate") or 0
    assert rate > 0
    eventually(dashboard.tile_steps, "other tiles", until=lambda steps: steps != tiles)
    dashboard.wait_for_step(500)
    eventually(
        lambda: dashboard.number("loss-value"), "a lower loss", until=lambda now: now and now < loss
    )
    for name in ("training-fps", "average-fps", "new-fps", "painted-fps"):
        expect(dashboard.part(name)).to_be_in_viewport()

    dashboard.part("pause").click()
    dashboard.wait_for_state("paused")
    waiting = applied_at(dashboard, "Pause")
    assert dashboard.step() == waiting - 1
    dashboard.part("resume").click()
    dashboard.wait_for_state("running")
    assert applied_at(dashboard, "Resume") == waiting  # not a step was trained meanwhile
    dashboard.wait_for_step(waiting + 30)

    dashboard.part("learning-rate-input").fill("0.005")
    dashboard.part("learning-rate-input").press("Enter")
    row = dashboard.command("applied").filter(has_text="Learning rate")
    expect(row).to_contain_text("0.02 → 0.005 · effective 0.005")

    family = psutil.Process(demo.pid).children(recursive=True)
    dashboard.stop()
    dashboard.wait_for_state("stopped")
    last = applied_at(dashboard, "Stop")
    assert dashboard.step() == last - 1
    dashboard.page.close()
    demo.interrupt()
    assert demo.wait(30) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
