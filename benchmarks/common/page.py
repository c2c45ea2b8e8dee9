"""A run's page in Chromium, and a probe in it: what was painted when, and what its pixels say."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page, sync_playwright

from common.report import percentile
from common.stamped import read_stamp

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SCREEN = {"width": 1440, "height": 900}
#: Pictures painted before it counts.
_WARM = 120
#: Each paint is noted as the page notes it; of one in 30 the pixels are read in that same moment.
_PROBE = """() => {
  const stats = window.trainmonStats;
  const canvas = document.querySelector("[data-testid=tile-wall] canvas");
  const context = canvas.getContext("2d");
  const probe = (window.benchProbe = { paints: [], reads: [] });
  const readStamp = () => {
    const wall = canvas.getBoundingClientRect();
    const tile = document.querySelector("[data-testid=tile]").getBoundingClientRect();
    const scale = canvas.width / wall.width;
    const edge = Math.min(tile.width, tile.height);
    const block = (edge * scale) / 8;
    const left = (tile.left - wall.left + (tile.width - edge) / 2) * scale;
    const top = (tile.top - wall.top) * scale;
    const whole = context.getImageData(left, top, edge * scale, edge * scale);
    return Array.from({ length: 64 }, (_, at) => {
      const x = Math.floor(((at % 8) + 0.5) * block);
      const y = Math.floor((Math.floor(at / 8) + 0.5) * block);
      return whole.data[4 * (y * whole.width + x)];
    });
  };
  let latency = stats.lastLatencyMs;
  Object.defineProperty(stats, "lastLatencyMs", {
    get: () => latency,
    set: (value) => {
      latency = value;
      probe.paints.push([performance.now(), stats.lastStep, value]);
      if (probe.paints.length % 30 === 0) probe.reads.push([stats.lastStep, readStamp()]);
    },
  });
}"""
_CLICKS = """window.benchClicks = [];
window.addEventListener(
  "click", (event) => benchClicks.push(performance.timeOrigin + event.timeStamp), true);
"""
_COUNTS = "() => [performance.now(), window.trainmonStats.received]"


@dataclass(frozen=True)
class Watched:
    """What a page showed over some time."""

    received: float
    """Pictures per second that reached the browser."""
    painted: float
    """Frames per second painted with a new picture."""
    distinct: float
    """Different steps painted per second."""
    low: float
    """Frames per second in the slowest hundredth of the frames."""
    gap_ms: float
    """Longest time between two frames."""
    latencies_ms: list[float]
    """From the end of the batch to the painted picture, each."""
    read: int
    """Stamps read from the canvas that told the step the page said it had painted."""


def browser() -> str:
    """Return the path of a Chromium; empty: there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("TRAINMON_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")


@contextmanager
def chromium(scale: float) -> Iterator[Page]:
    """Give a page without a past, on a screen with so many pixels to each of CSS along an edge."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser(), args=list(ARGUMENTS))
        page = running.new_page(viewport=SCREEN, device_scale_factor=scale)
        page.add_init_script(_CLICKS)
        yield page
        running.close()


def open_run(page: Page, address: str) -> None:
    """Open the one run there is, let it settle, and put the probe in."""
    page.goto(address)
    page.get_by_test_id("session-row").first.click()
    page.get_by_test_id("tile-wall").wait_for()
    # The page forbids what Playwright's own waiting would evaluate in it.
    while not page.evaluate(f"window.trainmonStats?.latencies.length > {_WARM}"):
        page.wait_for_timeout(100)
    page.evaluate(_PROBE)


def watch(page: Page, seconds: float) -> Watched:
    """Return what the page showed.

    Raises:
        AssertionError: The pixels told another step than the page did.
    """
    began_ms, received = page.evaluate(_COUNTS)
    page.wait_for_timeout(seconds * 1e3)
    ended_ms, received_then = page.evaluate(_COUNTS)
    probe: dict[str, Any] = page.evaluate("window.benchProbe")
    paints = [paint for paint in probe["paints"] if began_ms < paint[0] <= ended_ms]
    steps = [step for _, step, _ in paints]
    assert steps == sorted(steps), "an older picture was painted over a newer one"
    assert probe["reads"], "no pixels were read"
    for step, values in probe["reads"]:
        told = read_stamp(values)
        assert told == step, f"the page says it painted step {step}, its pixels say {told}"
    gaps = sorted(later[0] - sooner[0] for sooner, later in pairwise(paints))
    slowest = gaps[-max(1, len(gaps) // 100) :]
    took_s = (ended_ms - began_ms) / 1e3
    return Watched(
        received=(received_then - received) / took_s,
        painted=len(paints) / took_s,
        distinct=len(set(steps)) / took_s,
        low=1e3 * len(slowest) / sum(slowest),
        gap_ms=gaps[-1],
        latencies_ms=[latency for *_, latency in paints],
        read=len(probe["reads"]),
    )


def clicks(page: Page, count: int) -> list[float]:
    """Pause and resume by turns; return when each click was made, in ms since the epoch."""
    button, state = page.get_by_test_id("pause"), page.get_by_test_id("session-state")
    page.evaluate("benchClicks.length = 0")
    for index in range(count):
        button.click()
        word = "running" if index % 2 else "paused"
        state.filter(has_text=word).wait_for()
    made: list[float] = page.evaluate("benchClicks")
    assert len(made) == count
    return made


def spread(values: list[float], part: float) -> float:
    """Return a percentile of those that are known."""
    return percentile([value for value in values if not math.isnan(value)], part)
