"""How pictures flow to a page: what it asks for over a slow link, and what they cost it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, expect

from dashboard import Dashboard
from proxy import Proxy
from stack import eventually

pytestmark = pytest.mark.browser

#: React calls this with every tree that it has rendered and brought to the page.
COUNT_COMMITS = """
window.commits = 0;
window.__REACT_DEVTOOLS_GLOBAL_HOOK__ = {
  supportsFiber: true,
  inject: () => 1,
  onCommitFiberRoot: () => { window.commits += 1; },
  onPostCommitFiberRoot: () => undefined,
  onCommitFiberUnmount: () => undefined,
  checkDCE: () => undefined,
};
"""
SO_FAR = "() => [performance.now(), window.commits, window.trainmonStats.distinctSteps]"
#: The numbers on the page are renewed four times a second, what is told of the run less than seven
#: times; some more for the charts and for what a person does.
MOST_COMMITS_PER_S = 20


@pytest.fixture
def proxy(run: str) -> Iterator[Proxy]:
    """Stand between a browser and the dashboard."""
    stands = Proxy(urlsplit(run).port or 0)
    yield stands
    stands.close()


@pytest.mark.timeout(120)
def test_no_picture_renders_the_page(
    context: BrowserContext, dashboard: Dashboard, run: str
) -> None:
    """Pictures are painted, not rendered: React is as busy as its timers, however many come."""
    context.add_init_script(COUNT_COMMITS)
    dashboard.open_only_session(run)
    eventually(lambda: dashboard.number("painted-fps"), "painted frames")
    began_ms, commits, pictures = dashboard.page.evaluate(SO_FAR)
    eventually(
        lambda: dashboard.page.evaluate(SO_FAR)[2],
        "pictures of 30 steps",
        timeout_s=60,
        until=lambda now: now > pictures + 30,
    )
    ended_ms, commits_then, _ = dashboard.page.evaluate(SO_FAR)
    assert commits_then > commits, "the hook of React's tools is not called any more"
    assert commits_then - commits < MOST_COMMITS_PER_S * (ended_ms - began_ms) / 1e3 + 1


@pytest.mark.timeout(120)
def test_a_slow_link_is_said_where_the_rate_is(dashboard: Dashboard, proxy: Proxy) -> None:
    """What keeps the rate down is named beside it, and a key says what that means.

    That it goes again is shown in ``web/src/worker/hub.test.ts``: two cores may keep a page slow.
    """
    dashboard.open_only_session(f"http://{proxy.address}")
    # So few that any page can paint them: what is slow is then the link.
    dashboard.part("rate").fill("2")
    eventually(lambda: dashboard.number("new-fps"), "pictures")
    proxy.down.bytes_per_s = 15_000
    limit, reason = dashboard.part("picture-limit"), dashboard.part("picture-limit-reason")
    expect(limit).to_have_text("link slow", timeout=60_000)
    expect(limit).to_have_accessible_description(re.compile("fewer and smaller pictures"))
    expect(reason).to_be_hidden()
    limit.press("Enter")
    expect(reason).to_be_in_viewport(ratio=1)
    limit.press("Escape")
    expect(reason).to_be_hidden()
    dashboard.page.set_viewport_size({"width": 390, "height": 844})
    limit.click()
    expect(reason).to_be_in_viewport(ratio=1)
    assert limit.evaluate(
        "word => word.getBoundingClientRect().right"
        " <= word.closest('.gauge').getBoundingClientRect().right"
    ), "the word lies over the next number"
    proxy.heal()
