"""Steering a run from the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboard import Dashboard
from stack import Stack, eventually
from trainmon.cli.children import Child

pytestmark = pytest.mark.browser


@pytest.fixture
def run(processes: Stack) -> tuple[Child, str]:
    """A training with its dashboard's address."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    return processes.training(monitor, "--epochs", "1000"), address


def test_pause_and_resume(run: tuple[Child, str], dashboard: Dashboard) -> None:
    """Pause stops the step counter and shows the step it took effect; resume continues."""
    dashboard.open_only_session(run[1])
    dashboard.wait_for_step(30)
    dashboard.part("pause").click()
    dashboard.wait_for_state("paused")
    applied = dashboard.command("applied")
    expect(applied).to_have_count(1)
    held = dashboard.step()
    expect(applied.first).to_contain_text(str(held + 1))
    # Two keep-alives later the counter still stands.
    moved = "() => new Promise((done) => setTimeout(done, 2100))"
    dashboard.page.evaluate(moved)
    assert dashboard.step() == held
    dashboard.part("pause").click()
    dashboard.wait_for_state("running")
    dashboard.wait_for_step(held + 30)


def test_learning_rate(run: tuple[Child, str], dashboard: Dashboard) -> None:
    """A new learning rate shows as applied, with the old, the new and the effective value."""
    dashboard.open_only_session(run[1])
    dashboard.wait_for_step(30)
    dashboard.part("learning-rate-input").fill("0.005")
    dashboard.part("learning-rate-apply").click()
    applied = dashboard.command("applied")
    expect(applied).to_have_count(1)
    expect(applied.first).to_contain_text("0.02")
    expect(applied.first).to_contain_text("0.005")
    expect(applied.first).to_contain_text("effective")


def test_a_bad_learning_rate_is_refused(run: tuple[Child, str], dashboard: Dashboard) -> None:
    """Zero, a negative number and no number never become a command; the page says why."""
    dashboard.open_only_session(run[1])
    dashboard.wait_for_step(10)
    apply = dashboard.part("learning-rate-apply")
    form = dashboard.page.get_by_role("form", name="Learning rate")
    field = dashboard.part("learning-rate-input")
    for text in ("0", "-1", "NaN", "Infinity", "fast"):
        field.fill(text)
        expect(apply).to_be_disabled()
        expect(form).to_contain_text("A number above 0")
        expect(field).to_have_attribute("aria-invalid", "true")
        field.press("Enter")
    field.fill(" ")
    expect(apply).to_be_disabled()
    field.press("Enter")
    field.fill("0.5")
    expect(apply).to_be_enabled()
    dashboard.wait_for_step(dashboard.step() + 30)
    expect(dashboard.part("command-record")).to_have_count(0)


def test_stop(run: tuple[Child, str], dashboard: Dashboard) -> None:
    """Stop asks once, then ends the run: the page says stopped, the process ends well."""
    training, address = run
    dashboard.open_only_session(address)
    dashboard.wait_for_step(30)
    dashboard.part("stop").click()
    expect(dashboard.part("stop-confirm")).to_be_visible()
    assert training.wait(0) is None
    dashboard.part("stop-confirm").click()
    dashboard.wait_for_state("stopped")
    assert training.wait(30) == 0


KNOBS = """
import time, trainmon
state = {"dropout": 0.1, "flip": 1.0, "mode": 0.0}
with trainmon.start_session("knobs") as session:
    session.add_control("dropout", set=lambda v: state.update(dropout=v),
                        get=lambda: state["dropout"], minimum=0, maximum=1, step=0.05)
    session.add_control("flip", set=lambda v: state.update(flip=v), get=lambda: state["flip"],
                        type="BOOLEAN")
    session.add_control("mode", set=lambda v: state.update(mode=v), get=lambda: state["mode"],
                        type="CHOICE", choices=("gentle", "harsh"))
    session.add_control("save_checkpoint", set=lambda _: print("saved", flush=True))
    while True:
        session.batch_end(loss=state["dropout"])
        session.control_point()
        time.sleep(0.01)
"""


def test_declared_controls_are_drawn_and_work(
    processes: Stack, dashboard: Dashboard, tmp_path: Path
) -> None:
    """Knobs the page has never heard of get a widget, and setting one shows in the record."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    script = tmp_path / "knobs.py"
    script.write_text(KNOBS)
    child = processes.start("knobs", [sys.executable, str(script)], TRAINMON_MONITOR=monitor)
    dashboard.open(address)
    dashboard.part("session-row").first.click()
    dashboard.wait_for_step(10)
    for title in ("Dropout", "Flip", "Mode"):
        expect(dashboard.page.get_by_text(title, exact=True).first).to_be_visible()
    dashboard.page.get_by_role("button", name="Save checkpoint").first.click()
    assert next(line for line in child.output if "saved" in line)
    child.pass_on(sys.stderr)
    expect(dashboard.command("applied")).to_have_count(1)


NAN = """
import math, time, trainmon
with trainmon.start_session("nan", class_names=["<img src=x onerror=alert(1)>"]) as session:
    for step in range(10**6):
        session.batch_end(loss=math.nan if step > 100 else 1.0)
        session.control_point()
        time.sleep(0.01)
"""


def test_nan_raises_a_banner(processes: Stack, dashboard: Dashboard, tmp_path: Path) -> None:
    """A loss that is not finite shows a banner, and the page lives on."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    script = tmp_path / "nan.py"
    script.write_text(NAN)
    child = processes.start("nan", [sys.executable, str(script)], TRAINMON_MONITOR=monitor)
    child.pass_on(sys.stderr)
    dashboard.open(address)
    dashboard.part("session-row").first.click()
    expect(dashboard.part("nan-banner")).to_be_visible()
    step = dashboard.step()
    eventually(dashboard.step, "further steps", until=lambda now: now > step + 50)
