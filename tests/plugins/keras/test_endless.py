"""A knob of the script's own, a checkpoint that is asked for, and Ctrl-C in mid-epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainmon.v1.control_pb2 import SaveCheckpoint, SetControl

PATIENCE_S = 120
pytestmark = pytest.mark.timeout(300)  # frameworks take their time to be imported


@pytest.fixture
def endless(backend, tmp_path, trainings):
    """A fit without end: its process, the monitor's viewer, and its session."""
    with trainings(tmp_path, backend, "endless.py", str(tmp_path)) as (child, seen):
        found = seen.session(lambda summary: summary.global_step >= 3, PATIENCE_S)
        yield child, seen, found.session_id


def _applied(seen, session_id, **action):
    sent = seen.send(session_id, **action)
    return seen.command(session_id, sent.command.command_id, "APPLIED").result


def test_it_obeys_and_its_interruption_is_told(endless, tmp_path: Path) -> None:
    """A knob changes the very next compiled step, a checkpoint is written, Ctrl-C is a stop."""
    child, seen, session_id = endless
    result = _applied(seen, session_id, set_control=SetControl(name="loss_weight", value=3.0))
    assert result.previous_value == 1.0
    assert result.applied_value == 3.0
    seen.session(lambda summary: summary.global_step > result.applied_at_step + 2, PATIENCE_S)
    losses = seen.metrics(session_id, "loss")["loss"]
    by_step = dict(zip(losses.steps, losses.values, strict=True))
    told = [by_step.get(result.applied_at_step + offset) for offset in (-1, 0)]
    assert told == [1.0, 3.0]

    message = _applied(seen, session_id, save_checkpoint=SaveCheckpoint()).message
    assert list(tmp_path.glob("trainmon-checkpoints/*"))
    assert str(tmp_path / "trainmon-checkpoints") in message

    child.interrupt()
    assert child.wait(PATIENCE_S)
    assert "KeyboardInterrupt" in seen.in_state("STOPPED").status_message
