"""Processes that a command starts: their last words, and an end that waits for nobody else."""

from __future__ import annotations

import io
import sys
import time

import psutil
import pytest

from stack import eventually
from trainmon.cli.children import Child, ChildError

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(f"child: {child.pid}", flush=True)
print("last words", flush=True)
time.sleep(60)
"""


def test_an_end_does_not_wait_for_grandchildren() -> None:
    """What a child has started and left behind may hold its output open; the end comes at once."""
    child = Child("parent", [sys.executable, "-c", PARENT])
    grandchild = psutil.Process(int(child.announced("child")))
    said = io.StringIO()
    child.pass_on(said)
    try:
        eventually(said.getvalue, "last words", until=lambda text: "last words" in text)
        began_s = time.monotonic()
        child.end()
        assert grandchild.is_running()
        assert time.monotonic() - began_s < 30
    finally:
        grandchild.kill()


def test_last_words_are_told() -> None:
    """A process that ends before it listens leaves its last words in the error, then its code."""
    child = Child(
        "server", [sys.executable, "-c", "print('Error: port in use'); raise SystemExit(3)"]
    )
    with pytest.raises(ChildError) as error:
        child.announced("monitor")
    assert str(error.value) == "port in use\n(server ended with code 3 before it listened)"
    child.end()
    child.end()
