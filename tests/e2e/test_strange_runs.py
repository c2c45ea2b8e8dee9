"""Runs as nobody drew them on paper: names without end, a loss that is no number."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboard import Dashboard
from stack import Stack, stack
from viewer import viewer

pytestmark = pytest.mark.browser

RUN = """
import threading
import trainmon

long = "averyveryverylongname" * 9
with trainmon.start_session(long, hyperparameters={long: long}) as session:
    while True:
        session.batch_end(loss=float("nan"))
        session.control_point()
        threading.Event().wait(0.02)
"""


@pytest.fixture
def page(tmp_path: Path, dashboard: Dashboard) -> Iterator[Dashboard]:
    """Show the strange run."""
    with stack(tmp_path) as processes:
        started: Stack = processes
        _, monitor = started.monitor()
        _, address = started.gateway(monitor)
        started.start("training", [sys.executable, "-c", RUN], TRAINMON_MONITOR=monitor)
        with viewer(monitor) as watching:
            watching.at_step(1)
        dashboard.open_only_session(address)
        yield dashboard


@pytest.mark.parametrize("width", [1440, 390], ids=["desk", "phone"])
def test_long_names_do_not_widen_the_page(page: Dashboard, width: int) -> None:
    """Names of hundreds of letters are broken or cut, at a desk and on a phone."""
    page.page.set_viewport_size({"width": width, "height": 900})
    expect(page.page.get_by_text("averyveryverylongname").last).to_be_attached()
    # Waited for: charts are laid out anew when the browser gets round to it.
    page.page.wait_for_function(
        """() => document.documentElement.scrollWidth <= document.documentElement.clientWidth &&
            [...document.querySelectorAll("main *")]
                .every((one) => one.getBoundingClientRect().right <= innerWidth + 1)"""
    )


def test_a_banner_once_dismissed_stays_away(page: Dashboard) -> None:
    """While the loss goes on being no number, the banner that was dismissed does not return."""
    banner = page.part("nan-banner")
    expect(banner).to_be_visible()
    banner.get_by_role("button", name="Dismiss").click()
    page.wait_for_step(page.step() + 100)
    expect(banner).to_have_count(0)


def test_a_dialog_gives_the_focus_back(page: Dashboard) -> None:
    """Who closes the help with escape is where they were."""
    button = page.page.get_by_role("button", name="Keys and help")
    button.focus()
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_role("dialog")).to_be_visible()
    page.page.keyboard.press("Escape")
    expect(page.page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
