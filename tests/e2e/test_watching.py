"""Watching a run: what moves, what is always on screen, on a desk and on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from dashboard import Dashboard
from stack import Stack, eventually

pytestmark = pytest.mark.browser

ALWAYS = ("training-fps", "average-fps", "new-fps", "painted-fps", "latency", "link-state")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}


def test_tiles_change_and_the_loss_falls(dashboard: Dashboard, run: str) -> None:
    """Sixteen tiles follow the training, and the loss is lower after a few hundred steps."""
    dashboard.open_only_session(run)
    expect(dashboard.part("tile")).to_have_count(16)
    eventually(
        dashboard.tile_steps, "tiles of a step", until=lambda steps: steps[0] not in (None, "")
    )
    first_tiles, first_step = dashboard.tile_steps(), dashboard.wait_for_step(1)
    first_loss = eventually(lambda: dashboard.number("loss-value"), "a loss")
    eventually(dashboard.tile_steps, "other tiles", until=lambda steps: steps != first_tiles)
    dashboard.wait_for_step(first_step + 500)
    lower = eventually(
        lambda: dashboard.number("loss-value"), "a lower loss", until=lambda x: x and x < first_loss
    )
    assert lower < first_loss


def test_labels_name_prediction_and_truth(dashboard: Dashboard, run: str) -> None:
    """Each tile tells a reader by ear what was predicted and what was true."""
    dashboard.open_only_session(run)
    tile = dashboard.part("tile").first
    label = eventually(
        lambda: tile.get_attribute("aria-label") or tile.inner_text(),
        "a label",
        until=lambda text: "seven" in text or any(name in text for name in NAMES),
    )
    assert label


NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_frame_rate_is_always_visible(dashboard: Dashboard, run: str, viewport: dict) -> None:
    """Rates, latency, link and the buttons stay on screen wherever the page is scrolled to."""
    dashboard.page.set_viewport_size(viewport)
    dashboard.open_only_session(run)
    eventually(lambda: dashboard.number("training-fps"), "a frame rate")
    for place in ("0", "document.body.scrollHeight"):
        dashboard.page.evaluate(f"window.scrollTo(0, {place})")
        for name in (*ALWAYS, "stop", "pause"):
            expect(dashboard.part(name).first).to_be_in_viewport()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert dashboard.page.evaluate(overflow) <= 0


def test_pictures_are_painted_at_the_rate_asked_for(dashboard: Dashboard, run: str) -> None:
    """The painted rate is shown, and each painted picture is newer than the one before."""
    dashboard.open_only_session(run)
    painted = eventually(lambda: dashboard.number("painted-fps"), "painted frames")
    assert painted > 0
    before = dashboard.page.evaluate("window.trainmonStats.distinctSteps")
    eventually(
        lambda: dashboard.page.evaluate("window.trainmonStats.distinctSteps"),
        "pictures of further steps",
        until=lambda now: now > before + 20,
    )


def test_freezing_holds_the_tiles_and_not_the_training(dashboard: Dashboard, run: str) -> None:
    """A frozen wall keeps its pictures while the step counter goes on, and lets go again."""
    dashboard.open_only_session(run)
    eventually(dashboard.tile_steps, "tiles", until=lambda steps: steps[0] not in (None, ""))
    dashboard.page.keyboard.press("f")
    step = dashboard.step()
    # What was on its way when the key was pressed may still be painted.
    dashboard.wait_for_step(step + 60)
    frozen = dashboard.tile_steps()
    dashboard.wait_for_step(step + 200)
    assert dashboard.tile_steps() == frozen
    dashboard.page.keyboard.press("f")
    eventually(dashboard.tile_steps, "moving tiles", until=lambda steps: steps != frozen)


def test_a_tab_that_gets_its_lock_late_is_not_taken_for_gone(
    context: BrowserContext, dashboard: Dashboard, run: str
) -> None:
    """The worker waits for a tab's lock to know when it is gone, but only once it is held."""
    context.add_init_script(
        """
        const { request } = LockManager.prototype;
        LockManager.prototype.request = async function (...given) {
          await new Promise((resolve) => setTimeout(resolve, 500));
          return request.apply(this, given);
        };
        """
    )
    dashboard.open_only_session(run)
    dashboard.wait_for_step(dashboard.wait_for_step(1) + 500)


@pytest.mark.timeout(240)
def test_ten_tabs_and_stop_still_answers(
    context: BrowserContext, console, dashboard: Dashboard, processes: Stack
) -> None:
    """With ten tabs on a run, pause and stop pressed in the tenth hold, and the first sees them."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    training = processes.training(monitor, "--epochs", "1000")
    dashboard.open_only_session(address)
    # A browser without a screen paints every tab, a real one only the one in front: ten at 60
    # pictures a second would measure two cores, not whether Stop finds a connection.
    dashboard.part("rate").fill("5")
    url = dashboard.page.url
    tabs = [dashboard]
    for _ in range(9):
        page = context.new_page()
        console.watch(page)
        page.goto(url)
        tabs.append(Dashboard(page))
    last = tabs[-1]
    last.wait_for_step(1)
    last.part("pause").click()
    dashboard.page.bring_to_front()
    dashboard.wait_for_state("paused", timeout_s=45)
    dashboard.part("pause").click()
    dashboard.wait_for_state("running", timeout_s=45)
    last.page.bring_to_front()
    last.part("stop").click()
    expect(last.part("stop-confirm")).to_be_visible()
    assert training.wait(0) is None
    last.part("stop-confirm").click()
    dashboard.page.bring_to_front()
    dashboard.wait_for_state("stopped", timeout_s=45)
    assert training.wait(30) == 0
