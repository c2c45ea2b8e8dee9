"""From the end of a batch to pixels in a browser, with everything on the same cores.

``trainmon demo``'s training, near 60 batches a second, its monitor and gateway, and Chromium
without a GPU that shows the run's page at 60 frames a second. New and painted frames are counted
by the page; the latency is from the end of the batch, on the training's clock, to the painted
picture, on the page's, the two compared through the monitor's.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from itertools import pairwise

from common.report import machine, percentile, table
from playwright.sync_api import Page, sync_playwright

from trainmon.cli.children import Child, trainmon_command

SECONDS = 20
ROUNDS = 3
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def browser_path() -> str:
    """Return the path of a Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("TRAINMON_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        raise SystemExit("no browser found: install chromium, or set TRAINMON_CHROMIUM to one")
    return found


def open_run(page: Page, address: str) -> None:
    """Open the one run there is, and let it settle."""
    page.goto(address)
    page.get_by_test_id("session-row").first.click()
    page.get_by_test_id("tile-wall").wait_for()
    while not page.evaluate("window.trainmonStats?.latencies.length > 60"):
        page.wait_for_timeout(100)


def watch(page: Page) -> dict[str, float]:
    """Return what the page counted over the time."""
    read = "() => ({...window.trainmonStats, now: performance.now()})"
    before = page.evaluate(read)
    page.wait_for_timeout(SECONDS * 1e3)
    after = page.evaluate(read)
    seconds = (after["now"] - before["now"]) / 1e3
    painted = [each for each in after["paintTimes"] if each > before["now"]]
    gaps = [later - sooner for sooner, later in pairwise(painted)]
    latencies = after["latencies"][-len(painted) :]
    return {
        "received": (after["received"] - before["received"]) / seconds,
        "painted": (after["painted"] - before["painted"]) / seconds,
        "distinct": (after["distinctSteps"] - before["distinctSteps"]) / seconds,
        "gap": max(gaps),
        "p50": percentile(latencies, 0.5),
        "p99": percentile(latencies, 0.99),
    }


def measure() -> dict[str, float]:
    """Run the demo and watch it."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TRAINMON_HOME": home}
        demo = Child("demo", trainmon_command("demo", "--port", "0"), environment)
        try:
            address = demo.announced("dashboard")
            demo.pass_on(sys.stderr)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_path(), args=list(ARGUMENTS)
                )
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                open_run(page, address)
                found = watch(page)
                browser.close()
                return found
        finally:
            demo.interrupt()
            demo.wait(15)
            demo.end()


def main() -> None:
    """Measure and print a table."""
    runs = [measure() for _ in range(ROUNDS)]

    def median(name: str) -> float:
        return statistics.median(run[name] for run in runs)

    rows = [
        ("pictures received per second", f"{median('received'):.1f}", "60"),
        ("frames painted per second", f"{median('painted'):.1f}", "60"),
        ("different steps painted per second", f"{median('distinct'):.1f}", "60"),
        ("longest gap between two, ms", f"{median('gap'):.1f}", ""),
        ("batch end to pixel, p50 ms", f"{median('p50'):.1f}", "33"),
        ("batch end to pixel, p99 ms", f"{median('p99'):.1f}", "100"),
    ]
    print(f"16 tiles of the demo, {SECONDS} s, median of {ROUNDS} runs")
    print(table(("", "measured", "limit"), rows))
    print(machine("trainmon", "playwright"))


if __name__ == "__main__":
    main()
