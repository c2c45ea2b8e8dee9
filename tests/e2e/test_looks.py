"""How the page looks: on a desk, a large screen and a phone, dark and light.

Each test leaves pictures in its folder, whose path it prints (``pytest -s``), to be looked at by
whoever changes a style.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard import Dashboard
from stack import eventually, stack

# Without a graphics card pictures of the page take seconds each.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SIZES = {"desk": (1440, 900), "large": (1920, 1080), "phone": (390, 844)}
ALWAYS = ("stop", "pause", "training-fps", "link-state")


def check_width(page: Page) -> None:
    """Nothing is wider than the page. Waited for: charts are laid out when there is time."""
    page.wait_for_function(
        "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def picture(page: Page, folder: Path, name: str) -> None:
    """Leave a picture of what is on screen."""
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    print(path)  # noqa: T201 - for whoever looks at them


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
def test_looks(dashboard: Dashboard, run: str, tmp_path: Path, size: str, theme: str) -> None:
    """Nothing overflows, and what is never hidden is in sight: at the top, the end, in a dialog."""
    page = dashboard.page
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=theme)
    dashboard.open(run)
    expect(dashboard.part("session-row")).to_have_count(1)
    check_width(page)
    picture(page, tmp_path, "list")

    dashboard.open_only_session(run)
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    eventually(dashboard.tile_steps, "tiles", until=all)
    dashboard.part("rate").fill("2")
    for place, name in (("0", "top"), ("document.body.scrollHeight", "end")):
        page.evaluate(f"window.scrollTo(0, {place})")
        for part in ALWAYS:
            expect(dashboard.part(part)).to_be_in_viewport(ratio=1)
        check_width(page)
        picture(page, tmp_path, name)

    dashboard.part("stop").click()
    expect(dashboard.part("stop-confirm")).to_be_in_viewport(ratio=1)
    picture(page, tmp_path, "stop")
    page.get_by_role("button", name="Keep training").click()
    page.evaluate("window.scrollTo(0, 0)")
    dashboard.part("tile").first.click()
    expect(page.get_by_role("dialog", name="Sample")).to_be_visible()
    check_width(page)
    picture(page, tmp_path, "sample")


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Nothing has trained here; the address."""
    with stack(tmp_path_factory.mktemp("unused")) as processes:
        _, monitor = processes.monitor()
        _, address = processes.gateway(monitor)
        yield address


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
def test_looks_of_a_list_without_runs(
    dashboard: Dashboard, unused: str, tmp_path: Path, size: str, theme: str
) -> None:
    """It says how to begin, whole and on one screen, and offers nothing that needs a run."""
    page = dashboard.page
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=theme)
    dashboard.open(unused)
    expect(page.get_by_role("heading", name="Nothing has trained here yet")).to_be_visible()
    picture(page, tmp_path, "empty")
    check_width(page)
    expect(page.get_by_text("The session appears here by itself.")).to_be_in_viewport(ratio=1)
    for code in page.locator("pre").all():
        assert code.evaluate("code => code.scrollWidth <= code.clientWidth"), "code is cut off"
    expect(page.get_by_role("searchbox")).to_have_count(0)
    expect(dashboard.part("filter-all")).to_have_count(0)
