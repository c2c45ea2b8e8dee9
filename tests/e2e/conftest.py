"""A real browser on a real system. An error in the page's console fails the test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from dashboard import Dashboard
from stack import stack

# The browser, a training and all of trainmon share two cores: what a page shows may take seconds.
expect.set_options(timeout=20_000)

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


# The sync API keeps an event loop running in this thread: closed with the module, so that
# coroutine tests of other modules find none.
@pytest.fixture(scope="module")
def launch(chromium: str) -> Iterator[Callable[..., Browser]]:
    """Give a starter of Chromium, with further arguments; what it started ends with the module."""
    with sync_playwright() as playwright:
        started: list[Browser] = []

        def start(*arguments: str) -> Browser:
            one = playwright.chromium.launch(
                executable_path=chromium, args=[*ARGUMENTS, *arguments]
            )
            started.append(one)
            return one

        yield start
        for one in started:
            one.close()


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Browser:
    """Start Chromium for the tests of one module."""
    return launch()


@dataclass
class Console:
    """What pages of a test wrote to their consoles as errors."""

    expected: list[str] = field(default_factory=list)
    """Patterns of errors that the test provokes."""
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def check(self) -> None:
        unexpected = [
            error
            for error in self.errors
            if not any(re.search(pattern, error) for pattern in self.expected)
        ]
        assert not unexpected, f"errors in the page's console: {unexpected}"


@pytest.fixture
def console() -> Iterator[Console]:
    """Collect the consoles' errors and fail the test for those it did not expect."""
    collected = Console()
    yield collected
    collected.check()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a browser without a past: its own storage and its own shared worker."""
    opened = browser.new_context(viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(20_000)
    yield opened
    opened.close()


@pytest.fixture
def dashboard(context: BrowserContext, console: Console) -> Dashboard:
    """Give a tab."""
    page = context.new_page()
    console.watch(page)
    return Dashboard(page)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A long training with its dashboard; the address."""
    with stack(tmp_path_factory.mktemp("run")) as processes:
        _, monitor = processes.monitor()
        _, address = processes.gateway(monitor)
        processes.training(monitor, "--epochs", "1000")
        yield address
