"""A stranger's plugin in a real run: it watches from the relay, and fails without being noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from stack import Stack, eventually
from trainmon._failures import FailureRecord, FailureRecords
from trainmon._guard import QUARANTINE_AFTER
from trainmon.v1.dashboard_pb2 import SessionSnapshot
from viewer import viewer

TRAINING = """
import math, trainmon
with trainmon.start_session("digits") as session:
    for loss in [0.5, 0.25, *[math.nan] * 8, 0.125]:
        session.batch_end(loss=loss)
print("trained", session.counts["steps"], session.counts["failures"])
"""


@pytest.fixture
def nobody(monkeypatch) -> None:
    """No monitor anywhere, and a relay that does not wait for one once the training has ended."""
    monkeypatch.setenv("TRAINMON_MONITOR", "127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("TRAINMON_EXIT_TIMEOUT", "0")
    monkeypatch.setenv("TRAINMON_RELAY_LINGER", "0")


def quarantine(records: FailureRecords) -> FailureRecord:
    """Wait until a plugin is in quarantine, and return its record."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for record in records.read():
            if record.state == "quarantined":
                return record
        time.sleep(0.01)  # the poll of a bounded wait for a file of another process
    pytest.fail("no plugin was put in quarantine")


def test_an_observer_that_fails_is_quarantined_in_the_relay_and_shown(
    acme, nobody, home, tmp_path, monkeypatch, trainmon_command
):
    """The training ends well; `trainmon plugins` shows what the plugin did in the other process."""
    diary = tmp_path / "diary.txt"
    monkeypatch.setenv("ACME_TRACKER_FILE", str(diary))
    trained = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, timeout=50, check=True
    )
    assert trained.stdout == "trained 11 0\n"

    record = quarantine(FailureRecords(home / "plugins"))
    assert (record.name, record.role, record.failures) == ("acme", "relay", QUARANTINE_AFTER)
    assert "acme in a relay" in trainmon_command("plugins").stdout

    relay = [each for each in psutil.process_iter() if each.pid == record.pid]
    _, alive = psutil.wait_procs(relay, timeout=30)
    assert not alive
    assert diary.read_text() == "digits started\nstep 0: 0.5\nstep 1: 0.25\n"


RAISING = """
from trainmon.plugin import hookimpl

@hookimpl
def trainmon_batch_ended(session, batch):
    raise RuntimeError("no room")
"""


def test_what_plugins_do_wrong_in_a_relay_is_on_the_page(install, processes: Stack):
    """Each failure is counted, told once, as is the quarantine, and a plugin that does not load."""
    install("raising", RAISING)
    install("broken", "raise ImportError('gone')")
    processes.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    _, address = processes.monitor()
    training = processes.training(address, "--epochs", "1000")
    with viewer(address) as seen:
        session_id = seen.session().session_id
        shot = eventually(
            lambda: seen.snapshot(session_id),
            "what plugins did",
            until=lambda shot: len(shot.notes) >= 3 and _observer_losses(shot),
        )
    training.interrupt()
    notes = [note for note in shot.notes if note.startswith("plugin ")]
    assert sorted(notes) == [
        "plugin broken does not run: ImportError: gone",
        "plugin raising is quarantined: it is asked no more in this run",
        "plugin raising raised in trainmon_batch_ended: RuntimeError: no room; all else goes on",
    ]
    assert _observer_losses(shot) == {"exception": QUARANTINE_AFTER, "not_loaded": 1}


def _observer_losses(shot: SessionSnapshot) -> dict[str, int]:
    losses = [each for each in shot.performance_data.losses if each.kind == "observer"]
    return {each.reason: each.count for each in losses}
