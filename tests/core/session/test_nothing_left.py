"""A training whose process has no descriptors or memory left is not shown, and not disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trainmon
from trainmon.config import Settings

HEAD = """
import logging, os, resource, sys
import numpy as np
import trainmon
from trainmon.config import Settings

logging.basicConfig(format="%(message)s", stream=sys.stderr)
settings = Settings.from_environment(
    monitor="127.0.0.1:9", exit_timeout_s=0.0, relay_linger_s=0.0
)

def descriptors():
    return [number for number in range(64) if is_open(number)]

def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

def train(session, steps=20):
    for step in range(steps):
        session.begin_step()
        session.batch_end(images=np.zeros((16, 8, 8)), targets=np.zeros(16), loss=1.0)
        session.control_point()
    session.epoch_end(validation_loss=1.0)

def take_all_but(free):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for descriptor in held[:free]:
        os.close(descriptor)
    return held[free:]

with trainmon.start_session("first", settings=settings) as session:  # imports all there is
    train(session)
"""

REFUSALS = {
    "no descriptors": "take_all_but(0)",
    "no memory": (
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))"
    ),
    "no file so large": (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))"
    ),
    "no memfd and no file": (
        "import errno, tempfile\n"
        "def refuse(*arguments, **named): raise PermissionError(errno.EPERM, 'no')\n"
        "os.memfd_create = tempfile.mkstemp = refuse"
    ),
}


def run(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    script = tmp_path / "script.py"
    script.write_text(HEAD + text)
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_the_system_refuses_reaches_no_training(tmp_path: Path, refusal: str) -> None:
    """The session counts what it refused, does nothing else, and says why, once."""
    text = refusal + (
        "\nwith trainmon.start_session('run', settings=settings) as session:\n"
        "    train(session)\n"
        "    session.describe(total_epochs=3, notes=['a note'])\n"
        "    session.add_control('rate', set=print)\n"
        "    with session.evaluating(): pass\n"
        "    assert session.relay_pid is None and not session.paused\n"
        "    assert session.begin_step() is None\n"
        "    assert (session.global_step, session.epoch) == (20, 1)\n"
        "counts = session.counts\n"
        "assert session.closed\n"
        "assert (counts['steps'], counts['refused_scalars']) == (20, 20), counts\n"
        "assert counts['refused_events'] == 5 and counts['failures'] == 0, counts\n"
        "os.write(1, b'trained on\\n')\n"
    )
    done = run(text, tmp_path)
    assert (done.stdout, done.returncode) == ("trained on\n", 0), done.stderr
    assert done.stderr.count("this run is not shown") == 1
    assert done.stderr.count("Error: ") == 1


def test_wherever_the_descriptors_end_nothing_is_raised_or_left(tmp_path: Path) -> None:
    """Wherever in its start a session runs out of them, it goes on, and closes what it opened."""
    text = (
        "shown = []\n"
        "for free in range(16):\n"
        "    held = take_all_but(free)\n"
        "    before = descriptors()\n"
        "    with trainmon.start_session(f'run {free}', settings=settings) as session:\n"
        "        train(session)\n"
        "        shown.append(session.relay_pid is not None)\n"
        "    if session._relay._restarting is not None: session._relay._restarting.join(10)\n"
        "    assert descriptors() == before, (free, before, descriptors())\n"
        "    for descriptor in held: os.close(descriptor)\n"
        "assert shown == sorted(shown) and shown[-1] and not shown[3], shown\n"
        "os.write(1, b'trained on\\n')\n"
    )
    done = run(text, tmp_path)
    assert (done.stdout, done.returncode) == ("trained on\n", 0), done.stderr
    assert "this run is not shown" in done.stderr
    assert "could not start the relay" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_relay_that_had_no_descriptors_starts_once_there_are_some(tmp_path: Path) -> None:
    """A start that failed for want of them is said once, and tried again while steps end."""
    text = (
        "held = take_all_but(2)\n"
        "with trainmon.start_session('run', settings=settings) as session:\n"
        "    assert session.relay_pid is None\n"
        "    for descriptor in held: os.close(descriptor)\n"
        "    import time\n"
        "    until = time.monotonic() + 30\n"
        "    while session.relay_pid is None and time.monotonic() < until:\n"
        "        session.batch_end(loss=1.0)\n"
        "    assert session.relay_pid is not None\n"
        "    assert session.counts['refused_scalars'] == 0\n"
    )
    done = run(text, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("could not start the relay: OSError") == 1


def test_a_system_without_memfd_gives_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sandbox refuses a memfd, a file that has no name serves as well."""

    def refuse(name: str, flags: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    settings = Settings.from_environment(
        monitor="127.0.0.1:9", exit_timeout_s=0.0, relay_linger_s=0.0
    )
    with trainmon.start_session("run", settings=settings) as session:
        session.batch_end(loss=1.0)
        assert session.relay_pid is not None
        assert session.counts["refused_scalars"] == 0
