"""The dashboard as a person sees it: what is on the page, and what can be pressed."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf.message import Message
from playwright.sync_api import Locator, Page, Request, expect

from stack import eventually

__all__ = ["Calls", "Dashboard"]

#: Serves the page's streams in the page itself, where a test sees the requests.
IN_PAGE = "delete window.SharedWorker; delete window.Worker;"
_M = TypeVar("_M", bound=Message)


class Calls(Generic[_M]):
    """The unary calls of one method that a page makes, from its next load on.

    Args:
        page: Its streams are served in the page from then on.
        method: Name of the method.
        kind: Class of its requests.
    """

    def __init__(self, page: Page, method: str, kind: type[_M]) -> None:
        self._path = f"DashboardService/{method}"
        self._page = page
        self._kind = kind
        self._open: set[Request] = set()
        self.requests: list[_M] = []
        """What was asked, in order."""
        self.most_open = 0
        """The most that were on their way at once."""
        self.answered = 0
        """How many of them are answered, well or not."""
        page.add_init_script(IN_PAGE)
        page.on("request", self._began)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def wait_for(self, count: int) -> None:
        """Wait until so many calls are answered."""

        def read() -> int:
            # The browser's news is heard only while something is asked of it.
            self._page.evaluate("0")
            return self.answered

        eventually(read, f"{count} calls of {self._path}", until=lambda seen: seen >= count)

    def _began(self, request: Request) -> None:
        if self._path not in request.url:
            return
        self._open.add(request)
        self.most_open = max(self.most_open, len(self._open))
        # Five bytes of gRPC-Web stand before the message.
        self.requests.append(self._kind.FromString((request.post_data_buffer or b"")[5:]))

    def _ended(self, request: Request) -> None:
        if request in self._open:
            self._open.discard(request)
            self.answered += 1


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
