"""What tests/conftest.py promises: leaks fail, settings are hidden, required parts do not skip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LEAKS = """
import asyncio, os, subprocess, sys, threading

held = threading.Event()
sleep = [sys.executable, "-c", "import signal; signal.pause()"]


def test_clean():
    threading.Thread(target=held.wait, name="a library's", daemon=True).start()
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_thread():
    threading.Thread(target=held.wait, name="lost").start()


def test_daemon_of_ours():
    threading.Thread(target=held.wait, name="trainmon-lost", daemon=True).start()


def test_process():
    globals()["process"] = subprocess.Popen(sleep)


def test_reaped():
    assert process.wait() != 0


async def test_awaited():
    await asyncio.create_task(asyncio.sleep(0))
    await asyncio.to_thread(lambda: None)


async def test_task():
    globals()["task"] = asyncio.create_task(asyncio.Event().wait())


def test_release():
    held.set()
"""

ORPHAN = """
import subprocess, sys

orphan = '''
import subprocess, sys
wait = [sys.executable, "-c", "import signal; signal.pause()"]
subprocess.Popen(wait, start_new_session=True)
'''


def test_orphan():
    subprocess.run([sys.executable, "-W", "ignore", "-c", orphan], check=True)
"""

SETTINGS = """
import os


def test_settings(tmp_path):
    ours = {name: value for name, value in os.environ.items() if name.startswith("TRAINMON_")}
    assert ours == {"TRAINMON_HOME": str(tmp_path / "home")}
"""

SKIPS = """
import pytest


def test_browser(chromium):
    raise AssertionError("there is none")


def test_framework():
    pytest.importorskip("torch_that_is_not_there", reason="torch is not installed")


@pytest.mark.skip(reason="no such thing on this platform")
def test_other():
    pass
"""


@pytest.fixture
def run_tests(tmp_path):
    """Return a function that runs a test file under our conftest and returns its output."""

    def run(source: str, **environment: str) -> str:
        conftest = (ROOT / "tests/conftest.py").read_text(encoding="utf-8")
        assert "GRACE_S = 5.0" in conftest
        tests = tmp_path / "tests"
        tests.mkdir()
        # What these leave never ends by itself: there is nothing to wait for.
        (tests / "conftest.py").write_text(conftest.replace("GRACE_S = 5.0", "GRACE_S = 0.2"))
        (tests / "support").symlink_to(ROOT / "tests/support")
        (tests / "test_it.py").write_text(source)
        (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
        options = ("-v", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base"))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "tests"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run


def errors(output: str) -> set[str]:
    """Return the names of the tests that pytest reports as errors."""
    return set(re.findall(r"^ERROR tests/test_it.py::(\w+)", output, re.MULTILINE))


def test_leaks_fail_the_test_that_leaves_them(run_tests):
    """A thread, a daemon thread of ours, a process and a task fail their own test only."""
    output = run_tests(LEAKS)
    assert errors(output) == {"test_thread", "test_daemon_of_ours", "test_process", "test_task"}
    assert "left running after 0.2 s: thread 'lost'" in output


def test_a_process_that_left_the_tree_is_found(run_tests):
    """A process whose parent is gone is known by its TRAINMON_HOME, ended and reported."""
    output = run_tests(ORPHAN)
    assert "processes outlived the tests that started them" in output


def test_the_users_settings_are_hidden(run_tests):
    """A test sees no TRAINMON_ variable but a home of its own."""
    assert "1 passed" in run_tests(SETTINGS, TRAINMON_MONITOR="192.0.2.1:1", TRAINMON_RUN_KEY="x")


def test_missing_parts_skip_loudly(run_tests, tmp_path):
    """Where a part is missing its tests skip, and the summary says how many, and what to do."""
    output = run_tests(SKIPS, PATH=str(tmp_path))
    assert "3 skipped" in output
    assert "no browser found: 1 browser tests did not run; install chromium" in output
    assert "no torch found: 1 torch tests did not run" in output


def test_required_parts_do_not_skip(run_tests, tmp_path):
    """TRAINMON_REQUIRE makes such skips failures; other skips stay skips."""
    output = run_tests(SKIPS, PATH=str(tmp_path), TRAINMON_REQUIRE="browser,torch")
    assert errors(output) == {"test_browser"}  # its fixture would have skipped it
    assert "1 failed, 1 skipped, 1 error" in output


def test_an_unknown_part_is_refused(run_tests):
    """A misspelt TRAINMON_REQUIRE is an error, for it would require nothing."""
    assert "TRAINMON_REQUIRE names browsers; known:" in run_tests(
        SETTINGS, TRAINMON_REQUIRE="browsers"
    )
