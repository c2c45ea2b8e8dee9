"""Samples of every kind, from a real training to the page: masks, boxes, texts, values, sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboard import Dashboard
from stack import Stack, eventually, stack
from viewer import viewer

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

#: A loop that shows the same samples until it is stopped; {batch} is what it shows.
LOOP = """
import threading
import numpy as np
import trainmon

with trainmon.start_session("samples", class_names=["sky", "tree", "car"]) as session:
    while True:
        session.batch_end({batch})
        session.control_point()
        threading.Event().wait(0.02)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Stack]:
    """Give the processes of one test."""
    with stack(tmp_path) as started:
        yield started


def shown(processes: Stack, dashboard: Dashboard, *command: str) -> str:
    """Start a training and open its page; return the words of a tile with a sample on it."""
    _, monitor = processes.monitor()
    _, address = processes.gateway(monitor)
    training = processes.start("training", [sys.executable, *command], TRAINMON_MONITOR=monitor)
    training.pass_on(sys.stderr)
    with viewer(monitor) as watching:
        watching.at_step(1)
    dashboard.open_only_session(address)
    return words(dashboard, ", ")


def words(dashboard: Dashboard, part: str) -> str:
    """Return the words of the first tile, once they hold some part."""
    tile = dashboard.part("tile").first
    label = eventually(
        lambda: tile.get_attribute("aria-label") or "",
        f"a label with {part!r}",
        until=lambda text: part in text and not text.endswith("empty"),
    )
    return str(label)


def colours(dashboard: Dashboard) -> int:
    """Return how many pixels of the wall have a colour, not a grey."""
    script = """() => {
        const canvas = document.querySelector('[data-testid="tile-wall"] canvas');
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let found = 0;
        for (let i = 0; i < data.length; i += 4)
            if (Math.abs(data[i] - data[i + 2]) > 40) found += 1;
        return found;
    }"""
    return int(dashboard.page.evaluate(script))


def test_masks_lie_over_their_pictures(processes: Stack, dashboard: Dashboard) -> None:
    """How much of a mask is right is told, and a key takes prediction and truth away."""
    batch = """
        images=np.full((16, 64, 64), 128, np.uint8),
        targets=np.tile(np.arange(64) // 22, (16, 64, 1)),
        outputs=np.eye(3)[np.tile(np.arange(64) // 22, (16, 64, 1))] * 4,
    """
    label = shown(processes, dashboard, "-c", LOOP.format(batch=batch))
    assert "100 % of pixels agree" in label
    expect(dashboard.part("class-legend")).to_contain_text("tree")
    with_masks = eventually(lambda: colours(dashboard), "colours", until=lambda count: count > 1000)
    for overlay in ("predicted", "true", "none"):
        dashboard.page.keyboard.press("m")
        expect(dashboard.part("overlay")).to_have_attribute("data-overlay", overlay)
    eventually(
        lambda: colours(dashboard), "plain pictures", until=lambda count: count < with_masks / 4
    )


def test_boxes_are_counted_by_what_they_are_of(processes: Stack, dashboard: Dashboard) -> None:
    """Predicted and true boxes are told apart in words, too."""
    batch = """
        images=[np.full((3, 60, 80 + index), 0.5) for index in range(16)],
        target_boxes=[{"boxes": [[5, 5, 30, 30], [40, 10, 70, 50]], "labels": [1, 2]}] * 16,
        output_boxes=[{"boxes": [[6, 6, 31, 31]], "labels": [1], "scores": [0.8]}] * 16,
    """
    label = shown(processes, dashboard, "-c", LOOP.format(batch=batch))
    assert label == "Tile 1, predicted 1 box: tree, true 2 boxes: tree, car"
    eventually(lambda: colours(dashboard), "boxes in colour", until=lambda count: count > 100)


def test_texts_stand_in_a_list_with_the_loss_of_each_token(
    processes: Stack, dashboard: Dashboard
) -> None:
    """Two columns of lines, a legend, and each text whole when it is enlarged."""
    label = shown(processes, dashboard, str(EXAMPLES / "text.py"), "--steps", "1000000")
    assert "text “" in label
    expect(dashboard.page.locator(".tile-buttons")).to_have_attribute("data-plan", "list-16")
    expect(dashboard.part("token-legend")).to_be_visible()
    dashboard.part("tile").first.click()
    expect(dashboard.page.locator(".large-text [data-heat]").first).to_be_visible()


def test_values_tell_how_far_they_are_off(processes: Stack, dashboard: Dashboard) -> None:
    """A regression shows the value, the truth and the error."""
    batch = """
        images=np.zeros((16, 32, 32), np.uint8),
        outputs=np.full(16, 2.5), targets=np.full(16, 3.25),
    """
    label = shown(processes, dashboard, "-c", LOOP.format(batch=batch))
    assert label == "Tile 1, predicted 2.5, true 3.25, off by 0.7500"


def test_several_labels_are_shown_as_a_set(processes: Stack, dashboard: Dashboard) -> None:
    """What was missed is named beside the tile that is pointed at."""
    batch = """
        images=np.zeros((16, 32, 32), np.uint8),
        outputs=np.tile([3.0, -2.0, -1.0], (16, 1)), targets=np.tile([1, 0, 1], (16, 1)),
    """
    label = shown(processes, dashboard, "-c", LOOP.format(batch=batch))
    assert label == "Tile 1, predicted sky, true sky, car, wrong"
    dashboard.part("tile").first.focus()
    expect(dashboard.page.locator(".tile-card")).to_contain_text("Missed")
