"""Looking back: a moment on a curve, the tiles of then, back to live, an address of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import FloatRect, expect

from dashboard import Calls, Dashboard
from stack import Stack, eventually, stack
from trainmon.v1.dashboard_pb2 import GetBatchRequest, QueryMetricsRequest
from viewer import viewer

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A long training that keeps many pictures; the dashboard's address."""
    with stack(tmp_path_factory.mktemp("past")) as processes:
        _, monitor = processes.monitor()
        _, address = processes.gateway(monitor)
        processes.training(monitor, "--epochs", "1000", TRAINMON_KEY_FRAME_INTERVAL="0.3")
        yield address


def chart(dashboard: Dashboard) -> FloatRect:
    """Return where the loss is drawn."""
    over = dashboard.part("loss-chart").locator(".u-over")
    # A chart whose lines have changed is made anew.
    box = eventually(lambda: over.bounding_box() if over.count() else None, "a chart")
    assert box is not None
    return box


def press_at(dashboard: Dashboard, share: float) -> None:
    """Click on the loss at a share of its width."""
    box = chart(dashboard)
    dashboard.page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def moment(dashboard: Dashboard) -> int | None:
    """Return the step that is looked at; None while the page is live."""
    bar = dashboard.part("past-bar")
    return int(bar.get_attribute("data-step") or -1) if bar.count() else None


def settled_frame(dashboard: Dashboard) -> int:
    """Return the step of the kept picture on the wall, once the nearest is there."""
    bar = dashboard.part("past-bar")
    expect(bar).to_have_attribute("data-asking", "false")
    frame = int(bar.get_attribute("data-frame-step") or -1)
    eventually(
        dashboard.tile_steps, "the tiles of then", until=lambda steps: set(steps) == {str(frame)}
    )
    return frame


def opened(dashboard: Dashboard, run: str, step: int = 240) -> None:
    """Open the run, and wait until there is a past to look at."""
    dashboard.open_only_session(run)
    dashboard.wait_for_step(step, timeout_s=60)


def test_a_click_on_the_curve_shows_the_tiles_of_that_moment(
    dashboard: Dashboard, run: str
) -> None:
    """Tiles are those kept nearest the step that was clicked; training and its numbers go on."""
    opened(dashboard, run)
    press_at(dashboard, 0.4)
    frame = settled_frame(dashboard)
    chosen = moment(dashboard)
    assert chosen is not None
    assert 0 < chosen < dashboard.step()
    expect(dashboard.part("past-bar")).to_contain_text("nearest picture kept")
    expect(dashboard.part("tile-wall")).to_have_attribute("data-past", str(frame))
    dashboard.wait_for_step(dashboard.step() + 60)
    assert moment(dashboard) == chosen
    assert set(dashboard.tile_steps()) == {str(frame)}


def test_a_drag_moves_the_moment_and_asks_for_one_picture_at_a_time(
    dashboard: Dashboard, run: str
) -> None:
    """However fast the drag, one question is on its way at most, and the last moment is shown."""
    calls = Calls(dashboard.page, "GetBatch", GetBatchRequest)
    opened(dashboard, run)
    box = chart(dashboard)
    mouse, middle = dashboard.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + 0.9 * box["width"], middle)
    mouse.down()
    mouse.move(box["x"] + 0.1 * box["width"], middle, steps=60)
    mouse.up()
    settled_frame(dashboard)
    chosen = moment(dashboard)
    assert chosen is not None
    assert chosen < 0.3 * dashboard.step()
    assert calls.most_open == 1
    assert chosen in [request.step for request in calls.requests]


def test_tiles_of_the_past_are_sorted_filtered_and_enlarged(dashboard: Dashboard, run: str) -> None:
    """What can be done with live tiles can be done with those of a moment."""
    opened(dashboard, run)
    press_at(dashboard, 0.02)
    settled_frame(dashboard)
    wrong = dashboard.page.locator('[data-testid="tile"][data-correct="false"]').count()
    dashboard.page.keyboard.press("w")
    eventually(
        lambda: [tile for tile in dashboard.tile_steps() if tile],
        "only the wrong ones of then",
        until=lambda tiles: len(tiles) == wrong,
    )
    dashboard.page.keyboard.press("w")
    settled_frame(dashboard)
    dashboard.part("tile").first.click()
    expect(dashboard.page.get_by_role("dialog")).to_be_visible()
    dashboard.page.keyboard.press("Escape")
    expect(dashboard.page.get_by_role("dialog")).to_have_count(0)
    assert moment(dashboard) is not None


@pytest.mark.parametrize("way", ["Escape", "l", "button", "toggle"])
def test_back_to_live(dashboard: Dashboard, run: str, way: str) -> None:
    """One key or one click paints live pictures again."""
    opened(dashboard, run)
    press_at(dashboard, 0.5)
    settled_frame(dashboard)
    if way == "button":
        dashboard.part("back-to-live").click()
    elif way == "toggle":
        expect(dashboard.part("look-back")).to_have_attribute("aria-pressed", "true")
        dashboard.part("look-back").click()
    else:
        dashboard.page.keyboard.press(way)
    expect(dashboard.part("past-bar")).to_have_count(0)
    before = dashboard.step()
    eventually(
        dashboard.tile_steps,
        "live tiles",
        until=lambda steps: all(step and int(step) > before for step in steps),
    )


def test_keys_look_back(dashboard: Dashboard, run: str) -> None:
    """On the chart in focus arrows move the moment, with shift further, Home to the start."""
    opened(dashboard, run)
    slider = dashboard.page.get_by_role("slider", name="Loss per batch: step shown")
    slider.focus()
    keys = dashboard.page.keyboard
    keys.press("ArrowLeft")
    near = eventually(lambda: moment(dashboard), "a moment")
    keys.press("Shift+ArrowLeft")
    far = eventually(lambda: moment(dashboard), "another", until=lambda step: step != near)
    assert near is not None
    assert far is not None
    assert far < near
    keys.press("Home")
    expect(dashboard.part("past-bar")).to_have_attribute("data-step", "0")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    assert settled_frame(dashboard) < 60
    keys.press("ArrowRight")
    eventually(lambda: moment(dashboard), "a later moment", until=lambda step: step and step > 0)
    keys.press("Escape")
    expect(dashboard.part("past-bar")).to_have_count(0)


def test_an_address_opens_a_moment(dashboard: Dashboard, run: str) -> None:
    """The address names the moment that is shown; opened anew it shows the same, and live none."""
    opened(dashboard, run)
    press_at(dashboard, 0.5)
    frame = settled_frame(dashboard)
    chosen = moment(dashboard)
    dashboard.page.wait_for_url(f"**&step={chosen}")
    dashboard.page.reload()
    assert settled_frame(dashboard) == frame
    assert moment(dashboard) == chosen
    dashboard.wait_for_step(1)
    dashboard.part("back-to-live").click()
    dashboard.page.wait_for_url(lambda url: "step=" not in url)


def test_looking_back_on_a_phone(dashboard: Dashboard, run: str) -> None:
    """On a phone the way back, pause and stop are all in sight, and nothing is wider than it."""
    dashboard.page.set_viewport_size(PHONE)
    opened(dashboard, run)
    dashboard.part("loss-chart").scroll_into_view_if_needed()
    press_at(dashboard, 0.5)
    settled_frame(dashboard)
    for name in ("back-to-live", "pause", "stop"):
        expect(dashboard.part(name)).to_be_in_viewport()
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert dashboard.page.evaluate(wider) <= 0
    dashboard.part("back-to-live").click()
    expect(dashboard.part("past-bar")).to_have_count(0)


def test_shift_and_drag_zooms_and_a_double_click_shows_all(dashboard: Dashboard, run: str) -> None:
    """Zooming leaves the page live; two clicks show the whole run and choose no moment."""
    opened(dashboard, run)
    box = chart(dashboard)
    middle = box["y"] + box["height"] / 2
    dashboard.page.keyboard.down("Shift")
    dashboard.page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    dashboard.page.mouse.down()
    dashboard.page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=5)
    dashboard.page.mouse.up()
    dashboard.page.keyboard.up("Shift")
    whole = dashboard.page.get_by_role("button", name="Whole run")
    expect(whole).to_be_visible()
    expect(dashboard.part("past-bar")).to_have_count(0)
    dashboard.page.mouse.dblclick(box["x"] + 0.5 * box["width"], middle)
    expect(whole).to_have_count(0)
    expect(dashboard.part("past-bar")).to_have_count(0)


#: Twenty thousand steps at once, with one spike, and then a few more.
LONG = """
import threading
import trainmon

with trainmon.start_session("long") as session:
    for step in range(20_000):
        session.batch_end(loss=50.0 if step == 12_345 else 1.0)
    print("told", flush=True)
    while True:
        session.batch_end(loss=1.0)
        session.control_point()
        threading.Event().wait(0.05)
"""


def test_a_zoom_asks_for_its_range_once(processes: Stack, dashboard: Dashboard) -> None:
    """A long run opens with one question; a zoom asks for finer rows, zooming back for nothing."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    child = processes.start("long", [sys.executable, "-c", LONG], TRAINMON_MONITOR=monitor)
    assert next(line for line in child.output if "told" in line)
    child.pass_on(sys.stderr)
    with viewer(monitor) as seen:
        seen.at_step(20_000)
    calls = Calls(dashboard.page, "QueryMetrics", QueryMetricsRequest)
    dashboard.open(address)
    dashboard.part("session-row").first.click()
    dashboard.wait_for_step(20_000, timeout_s=60)
    calls.wait_for(1)
    [overview] = calls.requests
    assert not overview.HasField("first_step")
    assert 0 < overview.max_points <= 2000
    slider = dashboard.page.get_by_role("slider", name="Loss per batch: step shown")
    slider.press("+")
    calls.wait_for(2)
    detail = calls.requests[1]
    assert "loss" in detail.series
    assert detail.last_step - detail.first_step < 0.7 * 20_000
    slider.press("0")
    slider.press("+")
    slider.press("0")
    dashboard.wait_for_step(dashboard.step() + 20)
    assert len(calls.requests) == 2
