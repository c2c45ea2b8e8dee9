"""Steering a run from the page."""

from __future__ import annotations

import sys
from itertools import islice
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

def setter(name):
    def put(value):
        state[name] = value
        print("set", name, value, flush=True)
    return put

with trainmon.start_session("knobs") as session:
    session.add_control("dropout", set=setter("dropout"), get=lambda: state["dropout"],
                        minimum=0, maximum=1, step=0.05)
    session.add_control("flip", set=setter("flip"), get=lambda: state["flip"], type="BOOLEAN")
    session.add_control("mode", set=setter("mode"), get=lambda: state["mode"],
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

    number = dashboard.part("control-dropout")
    row = dashboard.page.locator(".control", has=number)
    for bad, words in (("1.5", "At most 1."), ("-0.1", "At least 0."), ("much", "A number.")):
        number.fill(bad)
        expect(row).to_contain_text(words)
        expect(row.get_by_role("button", name="Apply")).to_be_disabled()
    number.fill("0.25")
    number.press("Enter")
    record = dashboard.command("applied")
    expect(record.filter(has_text="Dropout")).to_contain_text("0.1 → 0.25 · effective 0.25")
    expect(row.locator(".control-now")).to_have_text("0.25")

    switch = dashboard.page.get_by_role("switch", name="Flip")
    expect(switch).to_be_checked()
    switch.click()
    expect(record.filter(has_text="Flip")).to_contain_text("on → off · effective off")
    expect(switch).not_to_be_checked()

    choice = dashboard.page.get_by_role("combobox", name="Mode")
    choice.select_option("harsh")
    expect(record.filter(has_text="Mode")).to_contain_text("gentle → harsh · effective harsh")
    expect(choice).to_have_value("1")

    dashboard.page.get_by_role("button", name="Save checkpoint").click()
    wanted = ("set ", "saved")
    told = list(islice((line for line in child.output if line.startswith(wanted)), 4))
    child.pass_on(sys.stderr)
    assert told == ["set dropout 0.25\n", "set flip 0.0\n", "set mode 1.0\n", "saved\n"]
    expect(record).to_have_count(4)


SEVERAL = """
import threading, trainmon

class Optimizer:
    def __init__(self, rate):
        self.param_groups = [{"lr": rate}]

generator, critic = Optimizer(0.1), Optimizer(0.4)
with trainmon.start_session("pair") as session:
    while True:
        session.batch_end(loss=1.0, metrics={"learning_rate_1": critic.param_groups[0]["lr"]})
        session.control_point(generator, critic)
        threading.Event().wait(0.01)
"""


def test_the_rate_of_one_of_several_optimizers(processes: Stack, dashboard: Dashboard) -> None:
    """Where a run tells the rate of several optimizers, all or one of them can be changed."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    child = processes.start("pair", [sys.executable, "-c", SEVERAL], TRAINMON_MONITOR=monitor)
    child.pass_on(sys.stderr)
    dashboard.open_only_session(address)
    optimizer = dashboard.page.get_by_role("combobox", name="Optimizer")
    expect(optimizer.get_by_role("option")).to_have_text(
        ["All optimizers", "Optimizer 1, now 0.1", "Optimizer 2, now 0.4"]
    )
    optimizer.select_option("1")
    field = dashboard.part("learning-rate-input")
    field.fill("0.2")
    field.press("Enter")
    record = dashboard.command("applied")
    expect(record.filter(has_text="of optimizer 2")).to_contain_text("0.4 → 0.2")
    expect(optimizer).to_contain_text("Optimizer 1, now 0.1")
    expect(optimizer).to_contain_text("Optimizer 2, now 0.2")
    optimizer.select_option("")
    dashboard.page.get_by_role("button", name="Scale").click()
    field.fill("0.5")
    field.press("Enter")
    expect(optimizer).to_contain_text("Optimizer 1, now 0.05")
    expect(optimizer).to_contain_text("Optimizer 2, now 0.1")


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
