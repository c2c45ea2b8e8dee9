"""A stranger's plugin in a real run: it watches from the relay, and fails without being noticed."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from trainmon._failures import FailureRecord, FailureRecords
from trainmon._guard import QUARANTINE_AFTER

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
