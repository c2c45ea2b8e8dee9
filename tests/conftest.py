"""What every test runs under: an environment of its own, and a check that it leaves nothing behind.

A test that leaves a thread, a process or an asyncio task running fails, with the name of what it
left. What a fixture of wider scope started before the test is not counted against it.

``TRAINMON_REQUIRE=browser,node,…`` (as CI sets it) turns the skips of tests that need one of
these into failures. ``TRAINMON_CHROMIUM`` names the browser; otherwise the path is searched.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import hypothesis
import psutil
import pytest

from kills.settings import SEED

pytest_plugins = ["support_fixtures"]

#: How long what a test started may take to end after the test, in seconds.
GRACE_S = 5.0

#: Parts a machine may lack: words of a skip's reason that tell which, and what to do about it.
PARTS = {
    "browser": (("browser", "chromium"), "install chromium, or set TRAINMON_CHROMIUM to one"),
    "node": (("node", "npm"), "install Node.js 20.9 or newer"),
    "lightning": (("lightning", "pytorch_lightning"), "make frameworks"),
    "keras": (("keras", "tensorflow", "jax"), "make frameworks"),
    "hf_trainer": (("transformers", "accelerate", "datasets"), "make frameworks"),
    "torch": (("torch",), "make frameworks"),
    "parquet": (("pyarrow",), "make frameworks"),
}

#: Helpers of the standard library that live as long as the process that started them.
LASTING_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

# No test is about time: a loaded machine must not fail one.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")

# Read once, before the tests' environment hides the variables.
_REQUIRED = {name for name in os.environ.get("TRAINMON_REQUIRE", "").split(",") if name}
_CHROMIUM = os.environ.get("TRAINMON_CHROMIUM", "")
_missing: Counter[str] = Counter()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a TRAINMON_REQUIRE that names no part, which would require nothing."""
    unknown = _REQUIRED - PARTS.keys()
    if unknown:
        raise pytest.UsageError(
            f"TRAINMON_REQUIRE names {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}"
        )


def pytest_report_header() -> str:
    """Tell the seed, by which TRAINMON_TEST_SEED repeats what failed at random."""
    return f"TRAINMON_TEST_SEED={SEED}"


# --- an environment of its own -------------------------------------------------------------------


def _isolate(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TRAINMON_")]:
        patch.delenv(name)
    patch.setenv("TRAINMON_HOME", str(home))
    # Where settings that a test makes without the environment would put it, too.
    patch.setenv("XDG_DATA_HOME", str(home / "data"))


@pytest.fixture(scope="session", autouse=True)
def isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep fixtures of wider scope away from the user's data and settings, and check the end."""
    base = tmp_path_factory.getbasetemp()
    patch = pytest.MonkeyPatch()
    _isolate(patch, base / "home")
    with no_leaks("the test session"):
        yield
        # Whoever was told a home below ours is ours, also when it left the process tree.
        orphans = [process for process in psutil.process_iter() if _home_is_below(process, base)]
    patch.undo()
    _, orphans = psutil.wait_procs(orphans, timeout=GRACE_S)
    told = _told(orphans)
    _end(orphans)
    if orphans:
        pytest.fail(f"processes outlived the tests that started them: {told}", pytrace=False)


@pytest.fixture(autouse=True)
def isolated_test(
    isolated_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Give the test an empty TRAINMON_HOME, no other settings, and fail it for what it leaks."""
    _isolate(monkeypatch, tmp_path / "home")
    with no_leaks("this test"):
        yield


# --- nothing left behind -------------------------------------------------------------------------


@contextmanager
def no_leaks(whose: str) -> Iterator[None]:
    """Fail if threads or processes that were started inside are still there after a grace."""
    this = psutil.Process()
    threads, processes = set(threading.enumerate()), set(this.children())

    def left() -> list[threading.Thread | psutil.Process]:
        new_threads = [each for each in threading.enumerate() if each not in threads]
        new_processes = [each for each in this.children() if each not in processes]
        return [*filter(_is_leak, new_threads), *filter(_is_running, new_processes)]

    yield
    deadline = time.monotonic() + GRACE_S
    while left() and time.monotonic() < deadline:
        time.sleep(0.005)  # the poll of a bounded wait: not both kinds of thing have an event
    if leaked := left():
        told = _told(leaked)
        _end([each for each in leaked if isinstance(each, psutil.Process)])
        pytest.fail(f"{whose} left running after {GRACE_S:g} s: {told}", pytrace=False)


def _is_leak(thread: threading.Thread) -> bool:
    # Libraries keep daemon threads for later use; ours end with what started them. The workers of
    # an event loop end with the loop, which pytest-asyncio closes after the fixtures.
    return (not thread.daemon or thread.name.startswith("trainmon")) and not (
        thread.name.startswith("asyncio_")
    )


def _is_running(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return process.status() != psutil.STATUS_ZOMBIE and not any(
            helper in command for helper in LASTING_HELPERS
        )
    except psutil.Error:
        return False


def _home_is_below(process: psutil.Process, base: Path) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        home = process.environ().get("TRAINMON_HOME", "")
    except (psutil.Error, OSError):
        return False
    return Path(home).is_relative_to(base) and _is_running(process)


def _told(left: Sequence[threading.Thread | psutil.Process]) -> str:
    return "; ".join(
        f"thread {each.name!r}" if isinstance(each, threading.Thread) else _told_process(each)
        for each in left
    )


def _told_process(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} {' '.join(process.cmdline())!r}"
    except psutil.Error:
        return f"process {process.pid}"


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # it may end by itself meanwhile
            for each in [*process.children(recursive=True), process]:
                each.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every coroutine test run inside ``no_leaked_tasks``."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "no_leaked_tasks")


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail a coroutine test that leaves asyncio tasks: closing the loop would hide them."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=1)
    if left:
        names = ", ".join(sorted(f"{task.get_name()} {task.get_coro()!r}" for task in left))
        pytest.fail(f"this test left asyncio tasks running: {names}", pytrace=False)


# --- parts a machine may lack --------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium or Chrome; skip loudly where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = _CHROMIUM or next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip("no browser found")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count what was skipped for a missing part, and fail it where the part is required."""
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for modules that skip themselves while they are imported."""
    report = yield
    _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    part = next((name for name, (words, _) in PARTS.items() if _mentions(reason, words)), None)
    if part is None:
        return
    if part in _REQUIRED:
        report.outcome = "failed"
        report.longrepr = f"required by TRAINMON_REQUIRE, but {reason}: {PARTS[part][1]}"
    else:
        _missing[part] += 1


def _mentions(reason: str, words: tuple[str, ...]) -> bool:
    return re.search(rf"\b({'|'.join(words)})\b", reason, re.IGNORECASE) is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly which tests did not run for want of what."""
    for part, count in sorted(_missing.items()):
        terminalreporter.write_line(
            f"no {part} found: {count} {part} tests did not run; {PARTS[part][1]}",
            yellow=True,
            bold=True,
        )
