"""Observer plugins: told in order, in a thread of their own, harmless."""

from __future__ import annotations

import threading

import pytest

from trainmon.channel import StepRecord, TrainerChannel
from trainmon.config import Settings
from trainmon.events import SessionInfo
from trainmon.manager import PluginManager
from trainmon.plugin import hookimpl
from trainmon.relay.losses import LossCounter
from trainmon.relay.observers import Observers
from trainmon.testing import RecordingPlugin
from trainmon.v1.control_pb2 import CommandResult
from trainmon.v1.telemetry_pb2 import EpochData, StatusUpdate

SESSION = SessionInfo("run", "producer")
WAIT_S = 20.0


def step(number: int) -> StepRecord:
    """Return the end of a batch."""
    return StepRecord(global_step=number, epoch=0, batch_index=number, time_ms=0.0)


@pytest.fixture
def losses():
    """Give a counter over a channel of its own."""
    channel = TrainerChannel.create(4096)
    yield LossCounter(channel.block)
    channel.memory.close()


def test_every_observer_hook_is_told_in_order(trainmon_plugins, losses):
    """What happened first is told first, with the session and the event."""
    plugin = RecordingPlugin()
    trainmon_plugins.register(plugin, "recorder")
    observers = Observers(trainmon_plugins, SESSION, losses)
    epoch, result, ended = EpochData(epoch=3), CommandResult(command_id="c"), StatusUpdate()
    observers.started()
    observers.batch(step(7))
    observers.epoch(epoch)
    observers.result(result)
    observers.ended(ended)
    observers.close(WAIT_S)
    assert [call.hook.removeprefix("trainmon_") for call in plugin.calls] == [
        "session_started",
        "batch_ended",
        "epoch_ended",
        "control_applied",
        "session_ended",
    ]
    assert all(call.arguments["session"] is SESSION for call in plugin.calls)
    assert plugin.calls[1].arguments["batch"].global_step == 7
    assert plugin.calls[2].arguments["epoch"] is epoch


def test_without_an_observer_there_is_no_thread(trainmon_plugins, losses):
    """And nothing is kept."""
    before = threading.active_count()
    observers = Observers(trainmon_plugins, SESSION, losses)
    observers.started()
    observers.batch(step(0))
    observers.epoch(EpochData())
    assert threading.active_count() == before
    observers.close(WAIT_S)


class Slow:
    """An observer that waits until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.steps: list[int] = []
        self.epochs: list[int] = []

    @hookimpl
    def trainmon_batch_ended(self, batch):
        self.entered.set()
        self.go.wait(WAIT_S)
        self.steps.append(batch.global_step)

    @hookimpl
    def trainmon_epoch_ended(self, epoch):
        self.epochs.append(epoch.epoch)


def test_of_batches_an_observer_is_too_slow_for_the_newest_win(trainmon_plugins, losses):
    """Memory is bounded, what it missed is counted, and it misses no epoch for it."""
    slow = Slow()
    trainmon_plugins.register(slow, "slow")
    observers = Observers(trainmon_plugins, SESSION, losses)
    observers.batch(step(0))
    assert slow.entered.wait(WAIT_S)
    for number in range(1, 3001):
        observers.batch(step(number))
    observers.epoch(EpochData(epoch=5))
    assert losses.count("observer", "queue_full") == 2000
    slow.go.set()
    observers.close(WAIT_S)
    assert slow.steps == [0, *range(2001, 3001)]
    assert slow.epochs == [5]


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_an_observer_that_raises_stops_nobody(losses, error):
    """Whatever it raises: later events are told to it, and to others."""
    manager = PluginManager(Settings.from_environment(), "relay")
    bad = RecordingPlugin({"trainmon_batch_ended": error})
    manager.register(bad, "bad")
    observers = Observers(manager, SESSION, losses)
    observers.batch(step(0))
    observers.epoch(EpochData(epoch=1))
    observers.close(WAIT_S)
    assert [call.hook for call in bad.calls] == ["trainmon_batch_ended", "trainmon_epoch_ended"]


def test_an_observer_that_hangs_does_not_keep_the_relay(trainmon_plugins, losses):
    """The end waits for it only so long."""
    slow = Slow()
    trainmon_plugins.register(slow, "slow")
    observers = Observers(trainmon_plugins, SESSION, losses)
    observers.batch(step(0))
    assert slow.entered.wait(WAIT_S)
    observers.close(0.01)
    assert slow.steps == []
    slow.go.set()
    observers.close(WAIT_S)
    assert slow.steps == [0]
