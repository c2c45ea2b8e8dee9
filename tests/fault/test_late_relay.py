"""A relay that is replaced as the training ends, and begins when the training has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytest.importorskip("grpc")

from stack import Stack, eventually, kill, relay_of
from trainmon.cli.children import trainmon_command
from trainmon.relay.spool.folder import folders_in
from viewer import viewer

#: Run by Python before anything else: a relay begins only once it is let.
LATE = """
import os, pathlib, sys
held = pathlib.Path(os.environ["HELD"])
if "trainmon.relay" in sys.orig_argv and held.exists():
    (held.parent / "waits").touch()
    held.read_bytes()  # of a named pipe: until somebody writes to it
"""
TRAINING = """
import sys, trainmon
with trainmon.start_session("late") as session:
    for step in range(100):
        session.batch_end(loss=float(step))
    print("told", flush=True)
    input()
    for step in range(100, 200):
        session.batch_end(loss=float(step))
"""


def test_what_a_late_relay_holds_is_not_lost_to_a_sync(processes: Stack, tmp_path: Path) -> None:
    """Of a run that looks dead the rest comes after all, and it is shown as it ended."""
    (tmp_path / "sitecustomize.py").write_text(LATE)
    held = tmp_path / "held"
    _, address = processes.monitor()
    environment = {
        **processes.environment,
        "TRAINMON_MONITOR": address,
        "TRAINMON_EXIT_TIMEOUT": "0.2",
        "PYTHONPATH": str(tmp_path),
        "HELD": str(held),
    }
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with viewer(address) as seen:
        assert training.stdout is not None
        assert training.stdout.readline() == "told\n"

        def stored() -> int:
            sessions = seen.sessions()
            loss = seen.metrics(sessions[0].session_id).get("loss") if sessions else None
            return 0 if loss is None else len(loss.steps)

        eventually(stored, "the first steps", until=lambda count: count == 100)
        os.mkfifo(held)
        relay = relay_of(training)
        kill(relay.pid)
        eventually(lambda: relay.status() == psutil.STATUS_ZOMBIE, "its end")
        training.communicate("\n")
        eventually((tmp_path / "waits").exists, "a relay that has just been started")
        sync = [*trainmon_command("sync"), "--monitor", address]
        told = subprocess.run(
            sync, env={**processes.environment}, capture_output=True, text=True, check=True
        ).stdout
        assert "is about to deliver it" in told
        held.write_bytes(b"")
        seen.in_state("COMPLETED")
        assert stored() == 200
        eventually(lambda: not list(folders_in(processes.home)), "all is delivered")
