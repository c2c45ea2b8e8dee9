"""Adapter hooks go to the session's own adapter, directly, and never raise into the training."""

from __future__ import annotations

import pytest

from trainmon._guard import QUARANTINE_AFTER
from trainmon.events import (
    BatchEvent,
    ControlCommand,
    ControlKind,
    ControlOutcome,
    ControlSpec,
    EpochEvent,
)
from trainmon.manager import PluginState
from trainmon.plugin import hookimpl
from trainmon.testing import RecordingPlugin

PAUSE = ControlCommand("1", ControlKind.PAUSE)


def test_only_the_sessions_own_adapter_is_asked(manager):
    """Of two adapters each gets what is meant for it, and its answer comes back."""
    batch, epoch = BatchEvent(loss=1.0), EpochEvent(average_loss=1.0)
    specs, outcome = [ControlSpec("momentum")], ControlOutcome(applied=True)
    reason = "not now"
    own = RecordingPlugin(
        {
            "trainmon_collect_batch": batch,
            "trainmon_collect_epoch": epoch,
            "trainmon_declare_controls": specs,
            "trainmon_check_control": reason,
            "trainmon_apply_control": outcome,
        }
    )
    other = RecordingPlugin({"trainmon_collect_batch": BatchEvent(loss=2.0)})
    manager.register(own, "own")
    manager.register(other, "other")

    manager.instrument("own")
    assert manager.collect_batch("own", "session", "raw") is batch
    assert manager.collect_epoch("own", "session", "raw") is epoch
    assert manager.declare_controls("own", "session", "raw") is specs
    assert manager.check_control("own", "session", PAUSE) == reason
    assert manager.apply_control("own", "session", PAUSE) is outcome

    assert [(call.hook, call.arguments) for call in own.calls] == [
        ("trainmon_instrument", {}),
        ("trainmon_collect_batch", {"session": "session", "raw": "raw"}),
        ("trainmon_collect_epoch", {"session": "session", "raw": "raw"}),
        ("trainmon_declare_controls", {"session": "session", "raw": "raw"}),
        ("trainmon_check_control", {"session": "session", "command": PAUSE}),
        ("trainmon_apply_control", {"session": "session", "command": PAUSE}),
    ]
    assert other.calls == []


@pytest.mark.parametrize("adapter", ["missing", "silent"])
def test_an_adapter_that_does_not_answer_is_no_error(manager, adapter):
    """No such plugin, or one without the hook: there is nothing to tell."""
    manager.register(object(), "silent")
    manager.instrument(adapter)
    assert manager.collect_batch(adapter, "session", "raw") is None
    assert manager.collect_epoch(adapter, "session", "raw") is None
    assert manager.declare_controls(adapter, "session", "raw") == ()
    assert manager.check_control(adapter, "session", PAUSE) == ""
    assert manager.apply_control(adapter, "session", PAUSE) is None


def test_an_adapter_takes_the_arguments_it_wants(manager):
    """Directly, too, arguments go by name: fewer of them, in another order, with defaults."""

    class Adapter:
        @hookimpl
        def trainmon_collect_batch(self, raw):
            return raw

        @hookimpl
        def trainmon_collect_epoch(self, raw, session):
            return raw, session

        @hookimpl
        def trainmon_declare_controls(self, session, raw=None):
            return [session, raw]

    manager.register(Adapter(), "own")
    assert manager.collect_batch("own", "session", "raw") == "raw"
    assert manager.collect_epoch("own", "session", "raw") == ("raw", "session")
    assert manager.declare_controls("own", "session", "raw") == ["session", "raw"]


def test_an_adapter_that_raises_has_nothing_to_tell(manager, row):
    """The exception is counted at the adapter's door; the training sees None."""
    manager.register(RecordingPlugin({"trainmon_collect_batch": ValueError("boom")}), "own")
    assert manager.collect_batch("own", "session", "raw") is None
    assert row(manager, "own").failures == 1


def test_a_command_that_makes_an_adapter_raise_is_refused_with_the_reason(manager):
    """The one who asked hears what went wrong, and later that the adapter is in quarantine."""
    manager.register(RecordingPlugin({"trainmon_apply_control": ValueError("no optimizer")}), "own")
    for _ in range(QUARANTINE_AFTER):
        outcome = manager.apply_control("own", "session", PAUSE)
        assert outcome == ControlOutcome(
            applied=False,
            message="plugin own raised in trainmon_apply_control: ValueError: no optimizer",
        )
    outcome = manager.apply_control("own", "session", PAUSE)
    assert outcome is not None
    assert not outcome.applied
    assert outcome.message.startswith("plugin own is quarantined: trainmon_apply_control")


def test_a_check_that_raises_is_an_objection(manager):
    """What cannot be said beforehand must not happen on some ranks only."""
    manager.register(RecordingPlugin({"trainmon_check_control": ValueError("no trainer")}), "own")
    reason = manager.check_control("own", "session", PAUSE)
    assert reason == "plugin own raised in trainmon_check_control: ValueError: no trainer"


def test_a_watched_adapters_failures_are_told_where_it_was_asked(manager, caplog):
    """A session hears of each failure at once and shows it; the log need not say it again."""
    error = ValueError("boom")
    manager.register(RecordingPlugin({"trainmon_collect_batch": error}), "own")
    told = []
    manager.watch("own", "session", lambda hook, error: told.append((hook, error)))
    for _ in range(2):
        manager.collect_batch("own", "session", "raw")
    assert told == [("trainmon_collect_batch", error)] * 2
    assert not caplog.records

    manager.watch("own", "session", None)
    manager.watch("missing", "session", None)
    manager.collect_batch("own", "session", "raw")
    assert len(told) == 2


def test_a_listener_that_raises_hurts_no_one(manager, row):
    """What listens is no more trusted than what is listened to."""
    manager.register(RecordingPlugin({"trainmon_collect_batch": ValueError("boom")}), "own")

    def listener(hook, error):
        raise OSError("gone")

    manager.watch("own", "session", listener)
    assert manager.collect_batch("own", "session", "raw") is None
    assert row(manager, "own").failures == 1


def test_a_new_session_gives_its_adapter_a_new_chance(manager, row):
    """Loading an adapter again ends its quarantine, so that a second run is not blind."""
    manager.register(RecordingPlugin({"trainmon_collect_batch": ValueError("boom")}), "own")
    for _ in range(QUARANTINE_AFTER):
        manager.collect_batch("own", "session", "raw")
    assert row(manager, "own").state is PluginState.QUARANTINED
    assert manager.load("own")
    manager.collect_batch("own", "session", "raw")
    assert row(manager, "own").failures == QUARANTINE_AFTER + 1
    assert manager.is_active("own")


def test_a_command_that_is_not_the_adapters_affair_is_passed_back(manager):
    """None leaves the command to the session, which tries its own way."""
    manager.register(RecordingPlugin(), "own")
    assert manager.apply_control("own", "session", PAUSE) is None


def test_a_disabled_adapter_is_not_asked(home):
    """A disabled plugin cannot be registered either."""
    from trainmon.config import Settings
    from trainmon.manager import PluginManager

    manager = PluginManager(Settings(disable_plugins=("own",)))
    recorder = RecordingPlugin()
    assert not manager.register(recorder, "own")
    assert manager.collect_batch("own", "session", "raw") is None
    assert recorder.calls == []
    assert [row.state for row in manager.rows()] == [PluginState.DISABLED]


class Raising:
    """An adapter whose epochs cannot be read."""

    @hookimpl
    def trainmon_collect_epoch(self, raw):
        raise ValueError(raw)


def test_each_session_hears_of_the_failures_it_met(manager):
    """Of two sessions of one adapter each is told of its own, also once the other has closed."""
    manager.register(Raising(), "raising")
    heard: dict[str, list[str]] = {"one": [], "other": []}
    sessions = {name: object() for name in heard}
    for name, session in sessions.items():
        manager.watch("raising", session, lambda hook, error, to=name: heard[to].append(str(error)))
    manager.collect_epoch("raising", sessions["one"], "first")
    manager.collect_epoch("raising", sessions["other"], "second")
    manager.watch("raising", sessions["other"], None)
    manager.collect_epoch("raising", sessions["one"], "third")
    assert heard == {"one": ["first", "third"], "other": ["second"]}


def test_where_nobody_listens_a_failure_is_logged(manager, caplog):
    """With the last listener gone the log tells again."""
    manager.register(Raising(), "raising")
    session = object()
    manager.watch("raising", session, lambda hook, error: None)
    manager.collect_epoch("raising", session, "first")
    assert not caplog.messages
    manager.load("raising")
    manager.watch("raising", session, None)
    for _ in range(QUARANTINE_AFTER):
        manager.collect_epoch("raising", session, "second")
    assert "quarantined" in caplog.text
