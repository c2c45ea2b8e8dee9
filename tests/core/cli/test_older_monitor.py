"""Commands that ask a monitor which is older than they are."""

from __future__ import annotations

import pytest

from trainmon.monitor.dashboard import DashboardService
from trainmon.v1.telemetry_pb2 import EpochData

WARNING = "is older than this command: it may have more epochs, commands and errors than it tells"


@pytest.fixture
def older(monkeypatch):
    """Let monitors know nothing of the call QueryEvents."""
    mapping = DashboardService.__mapping__

    def without(self):
        return {path: each for path, each in mapping(self).items() if "QueryEvents" not in path}

    monkeypatch.setattr(DashboardService, "__mapping__", without)


@pytest.mark.parametrize("command", [("show",), ("export", "--what", "epochs")])
async def test_a_snapshot_is_told_and_that_there_may_be_more(older, fed, trainmon, command):
    """What the snapshot holds is shown or written, with one warning beside it."""
    session = await fed.session(EpochData(epoch=4, average_loss=0.625))
    done = await trainmon(*command, session)
    assert done.exit_code == 0, done.output
    assert "0.625" in done.stdout
    assert done.stderr.count(WARNING) == 1


async def test_states_are_refused_with_the_reason(older, fed, trainmon):
    """No snapshot has them."""
    done = await trainmon("export", await fed.session(), "--what", "states")
    assert done.exit_code == 1
    assert "is older than this command and tells no states" in done.stderr
