"""The dashboard as a person sees it: what is on the page, and what can be pressed."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from stack import eventually

__all__ = ["Dashboard"]


class Dashboard:
    """One tab. The names are those of web/STYLE.md."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def part(self, name: str) -> Locator:
        """Return an element by its test id."""
        return self.page.get_by_test_id(name)

    def open(self, address: str, session_id: str = "") -> None:
        """Go to the list of sessions, or to one of them."""
        self.page.goto(f"{address}/?session={session_id}" if session_id else address)

    def open_only_session(self, address: str) -> None:
        """Go to the list and follow its one row."""
        self.open(address)
        rows = self.part("session-row")
        expect(rows).to_have_count(1)
        rows.first.click()
        expect(self.part("tile-wall")).to_be_visible()

    def number(self, name: str) -> float | None:
        """Return the number an element shows; None where it shows none."""
        digits = "".join(c for c in self.part(name).inner_text() if c.isdigit() or c in ".-")
        try:
            return float(digits)
        except ValueError:
            return None

    def step(self) -> int:
        """Return the global step on the page."""
        return int(self.number("global-step") or 0)

    def wait_for_step(self, step: int, timeout_s: float = 30) -> int:
        """Wait until the page shows at least a step."""
        return eventually(self.step, f"step {step}", timeout_s, lambda shown: shown >= step)

    def state(self) -> str:
        """Return the session's state in words."""
        return self.part("session-state").inner_text().strip().lower()

    def wait_for_state(self, word: str, timeout_s: float = 30) -> None:
        """Wait until the page shows a state."""
        eventually(self.state, f"state {word}", timeout_s, lambda shown: word in shown)

    def command(self, state: str) -> Locator:
        """Return the rows of commands in a state."""
        return self.page.locator(f'[data-testid="command-record"][data-state="{state}"]')

    def tile_steps(self) -> list[str | None]:
        """Return the step each tile is of."""
        return [tile.get_attribute("data-step") for tile in self.part("tile").all()]

    def stop(self) -> None:
        """Press stop, and say that it is meant."""
        self.part("stop").click()
        self.part("stop-confirm").click()
