"""What the page offers beside watching: how the wall and the curves are read, and what is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, expect

from dashboard import Calls, Dashboard
from stack import eventually, stack
from trainmon.v1.dashboard_pb2 import WatchSessionRequest

pytestmark = pytest.mark.browser

#: Keeps the words that are drawn on the loss's chart, with how they are aligned: an axis of its
#: own for each, as nothing else tells what a canvas shows.
NOTE_WORDS = """
window.drawn = [];
const { fillText } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  if (this.canvas.closest('[data-testid="loss-chart"]'))
    window.drawn = [...window.drawn.slice(-199), [this.textAlign, text]];
  return fillText.call(this, text, ...rest);
};
"""


THOUSAND = "1\u2009000"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A long training with its dashboard; the address."""
    with stack(tmp_path_factory.mktemp("run")) as processes:
        _, monitor = processes.monitor()
        _, address = processes.gateway(monitor)
        # With so much noise it never gets everything right.
        processes.training(monitor, "--epochs", "1000", "--noise", "0.7")
        yield address


@pytest.fixture
def page(dashboard: Dashboard, run: str) -> Dashboard:
    """A tab on the run, its words noted, with tiles on its wall."""
    dashboard.page.add_init_script(NOTE_WORDS)
    dashboard.open_only_session(run)
    eventually(dashboard.tile_steps, "tiles", until=all)
    dashboard.wait_for_step(200)
    return dashboard


def words(page: Dashboard, align: str) -> list[str]:
    """Return what is drawn on the loss's chart from now on, as its axes align their words."""
    drawn = page.page.evaluate("() => { const all = drawn; drawn = []; return all; }")
    return [text for aligned, text in drawn if aligned == align and text]


def is_even(seen: list[str]) -> bool:
    """Return whether these are the numbers of an axis that is no logarithm."""
    numbers = sorted({float(text) for text in seen})
    steps = {round(after - before, 6) for before, after in pairwise(numbers)}
    return len(numbers) > 3 and len(steps) == 1


def test_a_logarithmic_axis(page: Dashboard) -> None:
    """Button and key switch the loss between an even axis and one of decades."""
    eventually(lambda: words(page, "right"), "an even axis", until=is_even)
    toggle = page.part("log-axis")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    for decades in (True, False):
        eventually(
            lambda: words(page, "right"),
            "decades" if decades else "an even axis",
            until=lambda seen, decades=decades: seen and is_even(seen) != decades,
        )
        page.page.keyboard.press("g")


def test_smoothing(page: Dashboard) -> None:
    """The smoothed line is there, told where one points, and taken away at 0."""
    slider = page.page.get_by_role("slider", name="Smoothing")
    readout = page.part("loss-chart").locator("output")
    over = page.part("loss-chart").locator(".u-over")

    def pointed() -> str:
        over.hover(position={"x": 200, "y": 60})
        return readout.inner_text()

    slider.fill("0.95")
    eventually(pointed, "a smoothed value", until=lambda text: re.search(r"smoothed \d", text))
    slider.fill("0")
    expect(slider.locator("xpath=..")).to_contain_text("off")
    eventually(pointed, "none", until=lambda text: "loss" in text and "smoothed" not in text)


def test_axes_of_step_epoch_and_time(page: Dashboard) -> None:
    """The same curve over steps, epochs or time; the choice outlives the page."""
    axes = page.page.get_by_role("group", name="Horizontal axis")

    def across() -> list[str]:
        return words(page, "center")

    eventually(across, "steps", until=lambda seen: {"100", "200", THOUSAND} & set(seen))
    axes.get_by_role("button", name="Time").click()
    eventually(across, "seconds", until=lambda seen: any(text.endswith(" s") for text in seen))
    axes.get_by_role("button", name="Epoch").click()
    epoch = int(page.part("epoch-progress").locator("b").inner_text().split("/")[0])
    eventually(
        lambda: [int(text) for text in across() if text.isdigit()],
        "epochs",
        until=lambda seen: seen and max(seen) <= epoch + 1,
    )
    page.page.reload()
    expect(axes.get_by_role("button", name="Epoch")).to_have_attribute("aria-pressed", "true")


def test_commands_leave_markers(page: Dashboard) -> None:
    """A pause and its end stand as flags on the curve, and are told where one points."""
    page.part("pause").click()
    page.wait_for_state("paused")
    page.part("pause").click()
    page.wait_for_state("running")
    flags = eventually(
        lambda: words(page, "center"),
        "flags",
        until=lambda seen: "P" in "".join(seen) and "R" in "".join(seen),
    )
    assert flags


def facts(page: Dashboard, index: int) -> Locator:
    """Point at a tile; return what is told of it."""
    page.part("tile").nth(index).hover()
    card = page.page.locator(".tile-card")
    expect(card).to_be_visible()
    return card


def test_the_five_best_classes(page: Dashboard) -> None:
    """Pointing at a tile or giving it the focus shows five classes with their shares, falling."""
    page.part("freeze").click()
    scores = facts(page, 5).locator(".top-scores li")
    expect(scores).to_have_count(5)
    shares = [float(text.split()[0]) for text in scores.locator("b").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100.5
    page.page.mouse.move(0, 0)
    expect(page.page.locator(".tile-card")).to_have_count(0)
    page.part("tile").first.focus()
    expect(scores).to_have_count(5)
    page.page.keyboard.press("ArrowRight")
    expect(page.part("tile").nth(1)).to_be_focused()


def test_the_live_wall_in_order_of_loss(page: Dashboard) -> None:
    """The greatest loss comes first."""

    def losses() -> list[float]:
        page.part("freeze").click()
        shown = [facts(page, index).inner_text().split("Loss\n")[1] for index in range(16)]
        page.part("freeze").click()
        return [float(text.split("\n")[0].replace("−", "-")) for text in shown]

    unordered = losses()
    assert unordered != sorted(unordered, reverse=True)
    frame = page.part("tile-wall").get_attribute("data-frame")
    page.part("sort-by-loss").click()
    expect(page.part("tile-wall")).not_to_have_attribute("data-frame", frame or "")
    in_order = eventually(losses, "an order", until=lambda seen: seen == sorted(seen, reverse=True))
    assert len(in_order) == 16


def test_only_wrong_ones_on_the_live_wall(page: Dashboard) -> None:
    """Each tile is a wrong one, though right ones keep coming; then all are back."""

    def verdicts() -> set[str]:
        shown = page.part("tile").evaluate_all("tiles => tiles.map(one => one.dataset.correct)")
        return set(filter(None, shown))

    eventually(verdicts, "right ones", until=lambda seen: "true" in seen)
    page.part("wrong-only").click()
    eventually(verdicts, "only wrong ones", until=lambda seen: seen == {"false"})
    page.wait_for_step(page.step() + 100)
    assert verdicts() == {"false"}
    page.page.keyboard.press("w")
    eventually(verdicts, "right ones again", until=lambda seen: "true" in seen)


def test_the_rate_is_asked_for(dashboard: Dashboard, run: str) -> None:
    """The slider's rate goes to the monitor, and fewer pictures come and are painted."""
    calls = Calls(dashboard.page, "WatchSession", WatchSessionRequest)
    dashboard.open_only_session(run)
    eventually(
        lambda: dashboard.number("painted-fps"), "pictures", until=lambda now: now and now > 5
    )
    dashboard.part("rate").fill("0")
    expect(dashboard.part("rate").locator("xpath=..")).to_contain_text("1/s")
    eventually(
        lambda: [*dashboard.page.evaluate("[]"), *calls.requests],
        "one picture a second is asked for",
        until=lambda asked: asked and asked[-1].frames_per_second == 1,
    )
    for name in ("new-fps", "painted-fps"):
        eventually(
            lambda name=name: dashboard.number(name),
            f"a low {name}",
            until=lambda now: now and now < 3,
        )
    dashboard.wait_for_step(dashboard.step() + 60)


def test_a_tile_is_enlarged_and_put_back(page: Dashboard) -> None:
    """Enter shows a tile large with all that is known of it; Escape gives the focus back."""
    tile = page.part("tile").nth(2)
    tile.focus()
    page.page.keyboard.press("Enter")
    dialog = page.page.get_by_role("dialog", name="Sample")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("img", name="The sample, enlarged")).to_be_visible()
    expect(dialog.locator(".top-scores li")).to_have_count(5)
    for fact in ("Truth", "Loss", "Step", "Epoch"):
        expect(dialog.get_by_text(fact, exact=True)).to_be_visible()
    held = dialog.inner_text()
    page.wait_for_step(page.step() + 60)
    assert dialog.inner_text() == held
    page.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(tile).to_be_focused()


def test_resources_and_hyper_parameters(page: Dashboard) -> None:
    """What the training uses and how it was set are told in numbers with their units."""
    resources = page.page.get_by_role("region", name="Resources")
    expect(resources).to_contain_text("% of one core")
    for name in ("CPU of the training", "Memory of the training", "Memory of the host"):
        bar = resources.get_by_role("progressbar", name=name)
        expect(bar).to_be_attached()
        assert 0 <= float(bar.get_attribute("value") or -1) <= 100
    settings = page.page.get_by_role("region", name="Hyper-parameters")
    for name, value in (("batch_size", "64"), ("momentum", "0.9")):
        row = settings.locator("div", has=page.page.get_by_text(name, exact=True))
        expect(row.locator("dd")).to_have_text(value)
    itself = page.page.get_by_role("region", name="Monitoring itself")
    expect(itself).to_contain_text("µs a batch")


def test_the_theme_is_switched_and_kept(page: Dashboard) -> None:
    """It follows the system until a person chooses, by button or key; the choice is kept."""
    html = page.page.locator("html")
    canvas = "getComputedStyle(document.body).backgroundColor"
    page.page.emulate_media(color_scheme="dark")
    expect(html).to_have_attribute("data-theme", "dark")
    dark = page.page.evaluate(canvas)
    page.page.emulate_media(color_scheme="light")
    expect(html).to_have_attribute("data-theme", "light")
    assert page.page.evaluate(canvas) != dark
    page.page.get_by_role("button", name="Change between dark and light").click()
    expect(html).to_have_attribute("data-theme", "dark")
    page.page.reload()
    expect(html).to_have_attribute("data-theme", "dark")
    page.wait_for_step(1)
    page.page.keyboard.press("t")
    expect(html).to_have_attribute("data-theme", "light")
