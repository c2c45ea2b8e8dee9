"""Runs that are over: found in the list, opened whole, told apart, deleted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from dashboard import Dashboard
from stack import Stack, eventually, kill
from viewer import viewer

pytestmark = pytest.mark.browser

#: A short run that nobody watches: its name, and how it ends.
SHORT = """
import sys
import numpy as np
import trainmon

name, end = sys.argv[1:]
random = np.random.default_rng(0)
with trainmon.start_session(name, class_names=["a", "b"], total_epochs=2) as session:
    for epoch in range(2):
        for batch in range(15):
            session.batch_end(
                images=random.random((16, 8, 8)),
                outputs=random.normal(size=(16, 2)),
                targets=random.integers(0, 2, 16),
                loss=1.0 / (epoch + 1),
            )
        session.epoch_end(validation_loss=0.25)
    if end == "fails":
        raise ValueError("the loss exploded")
"""


def train(processes: Stack, monitor: str, name: str, end: str = "well") -> None:
    """Train a short run to its end."""
    child = processes.start(
        name, [sys.executable, "-c", SHORT, name, end], TRAINMON_MONITOR=monitor
    )
    child.wait(60)


def row(dashboard: Dashboard, name: str) -> Locator:
    """Return the rows of a name."""
    return dashboard.part("session-row").filter(has_text=name)


@pytest.fixture
def place(processes: Stack) -> tuple[str, str]:
    """A monitor's address, and its dashboard's."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    return monitor, address


def test_an_ended_run_is_shown_whole_and_as_ended(
    place: tuple[str, str], processes: Stack, dashboard: Dashboard
) -> None:
    """Tiles, counts, epochs and curves are there; nothing that steers, and nothing called live."""
    train(processes, place[0], "short")
    dashboard.open(place[1])
    expect(row(dashboard, "short")).to_contain_text("final loss")
    row(dashboard, "short").first.get_by_role("link").click()
    dashboard.wait_for_state("completed")
    eventually(dashboard.tile_steps, "the last tiles", until=lambda steps: steps[0] is not None)
    assert dashboard.step() == 29
    expect(dashboard.part("batch-progress")).to_contain_text("15")
    expect(dashboard.part("epoch-progress")).to_contain_text("2")
    expect(
        dashboard.page.get_by_role("region", name="Epoch table").get_by_role("row")
    ).to_have_count(3)
    for absent in ("pause", "stop", "freeze", "rate", "learning-rate-input"):
        expect(dashboard.part(absent)).to_have_count(0)
    assert "live" not in dashboard.part("link-state").inner_text().lower()
    slider = dashboard.page.get_by_role("slider", name="Loss per batch: step shown")
    slider.press("Home")
    expect(dashboard.part("past-bar")).to_have_attribute("data-asking", "false")
    expect(dashboard.part("back-to-live")).to_have_text("Back to the end")
    slider.press("Escape")
    expect(dashboard.part("past-bar")).to_have_count(0)


def test_an_ended_run_survives_the_monitor(processes: Stack, dashboard: Dashboard) -> None:
    """Another monitor on the same data shows the run as before: tiles, curve, epochs, past."""
    monitor, address = processes.monitor()
    train(processes, address, "kept")
    with viewer(address) as seen:  # the relay may have gone on alone
        seen.in_state("COMPLETED")
    kill(monitor.pid)
    _, address = processes.monitor()
    _, page = processes.gateway(address)
    dashboard.open_only_session(page)
    dashboard.wait_for_state("completed")
    eventually(dashboard.tile_steps, "the last tiles", until=lambda steps: steps[0] is not None)
    assert dashboard.step() == 29
    table = dashboard.page.get_by_role("region", name="Epoch table")
    expect(table.get_by_role("row")).to_have_count(3)
    slider = dashboard.page.get_by_role("slider", name="Loss per batch: step shown")
    slider.press("Home")
    expect(dashboard.part("past-bar")).to_have_attribute("data-frame-step", "0")


def test_runs_are_found_and_told_apart(
    place: tuple[str, str], processes: Stack, dashboard: Dashboard
) -> None:
    """Words and states narrow the list down; runs of one name differ by what is written there."""
    train(processes, place[0], "twin")
    train(processes, place[0], "twin")
    train(processes, place[0], "other", "fails")
    dashboard.open(place[1])
    rows = dashboard.part("session-row")
    expect(rows).to_have_count(3)
    first, second = (row(dashboard, "twin").nth(index).inner_text() for index in range(2))
    assert first != second
    expect(dashboard.page.get_by_role("region", name="Today")).to_be_visible()
    dashboard.part("filter-failed").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("the loss exploded")
    dashboard.part("filter-all").click()
    dashboard.page.keyboard.press("/")
    dashboard.page.keyboard.type("twin completed")
    expect(rows).to_have_count(2)
    dashboard.page.keyboard.type(" nothing")
    expect(rows).to_have_count(0)


def test_ended_runs_are_deleted_after_one_question(
    place: tuple[str, str], processes: Stack, dashboard: Dashboard
) -> None:
    """A run goes from its page, several from the list; one that trains offers no deletion."""
    processes.training(place[0], "--epochs", "1000")
    for name in ("one", "two", "three"):
        train(processes, place[0], name)
    dashboard.open(place[1])
    rows = dashboard.part("session-row")
    expect(rows).to_have_count(4)
    expect(dashboard.part("session-select")).to_have_count(3)
    row(dashboard, "one").get_by_role("link").click()
    dashboard.part("delete-run").click()
    dashboard.page.get_by_role("button", name="Keep").click()
    dashboard.wait_for_state("completed")
    dashboard.part("delete-run").click()
    dashboard.part("delete-confirm").click()
    expect(rows).to_have_count(3)
    dashboard.part("session-select").first.check()
    dashboard.page.get_by_role("button", name="All 2 ended").click()
    dashboard.part("delete-selected").click()
    dashboard.part("delete-confirm").click()
    expect(rows).to_have_count(1)
    expect(dashboard.part("session-select")).to_have_count(0)
    expect(dashboard.page.locator(".session-select")).to_be_hidden()
    dashboard.page.reload()
    expect(rows).to_have_count(1)


def test_the_page_of_an_unknown_run_leads_back(
    place: tuple[str, str], dashboard: Dashboard
) -> None:
    """It has the bar of every page, with the way to the list, and says what it does."""
    dashboard.open(place[1], "a-run-of-another-monitor")
    heading = dashboard.page.get_by_role("heading", name="This session is not known here")
    expect(heading).to_be_visible()
    bar = dashboard.page.get_by_role("banner")
    expect(bar.get_by_role("button", name="Change between dark and light")).to_be_visible()
    bar.get_by_role("link", name="trainmon: every session").click()
    expect(
        dashboard.page.get_by_role("heading", name="Nothing has trained here yet")
    ).to_be_visible()


SCALARS = """
import threading
import trainmon

with trainmon.start_session("scalars") as session:
    while True:
        session.batch_end(loss=0.5)
        session.control_point()
        threading.Event().wait(0.02)
"""


def test_a_run_without_samples_gives_their_room_to_its_curves(
    place: tuple[str, str], processes: Stack, dashboard: Dashboard, tmp_path: Path
) -> None:
    """The wall of a run of scalars is a line of words; one with samples keeps its wall."""
    script = tmp_path / "scalars.py"
    script.write_text(SCALARS)
    processes.start("scalars", [sys.executable, str(script)], TRAINMON_MONITOR=place[0])
    dashboard.open_only_session(place[1])
    expect(dashboard.page.locator("main.run")).to_have_attribute("data-scalars", "true")
    expect(dashboard.page.get_by_text("This run sends no samples.")).to_be_visible()
    chart = dashboard.part("loss-chart").bounding_box()
    assert chart is not None
    assert chart["width"] > 1200
