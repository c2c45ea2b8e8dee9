"""A plugin that fails is caught at its own door; the others, and the caller, never notice."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest

from trainmon._guard import QUARANTINE_AFTER
from trainmon.config import Settings
from trainmon.errors import StopTraining
from trainmon.manager import PluginManager, PluginState
from trainmon.plugin import hookimpl
from trainmon.testing import RecordingPlugin


def failing(error: BaseException) -> RecordingPlugin:
    """Return a plugin that raises at every batch."""
    return RecordingPlugin({"trainmon_batch_ended": error})


def test_the_others_run_when_one_raises(manager, session, step, row):
    """An exception reaches neither the caller nor the other plugins, and is counted."""
    first, last = RecordingPlugin(), RecordingPlugin()
    manager.register(first, "first")
    manager.register(failing(ValueError("boom")), "bad")
    manager.register(last, "last")

    manager.batch_ended(session, step)

    assert first.of("trainmon_batch_ended") == [{"session": session, "batch": step}]
    assert last.of("trainmon_batch_ended") == [{"session": session, "batch": step}]
    bad = row(manager, "bad")
    assert (bad.state, bad.failures) == (PluginState.ACTIVE, 1)
    assert bad.last_error == "trainmon_batch_ended: ValueError: boom"
    assert "ValueError: boom" in bad.traceback
    assert manager.failures == 1


def test_a_plugin_is_quarantined_after_failures_in_a_row(manager, session, step, row):
    """After five failures of one hook in a row none of the plugin's hooks is called any more."""
    bad = failing(ValueError("boom"))
    manager.register(bad, "bad")
    for _ in range(QUARANTINE_AFTER):
        assert row(manager, "bad").state is PluginState.ACTIVE
        manager.batch_ended(session, step)
    assert row(manager, "bad").state is PluginState.QUARANTINED

    manager.batch_ended(session, step)
    manager.session_started(session)

    assert len(bad.calls) == QUARANTINE_AFTER
    assert row(manager, "bad").failures == QUARANTINE_AFTER


def test_another_hook_that_works_does_not_save_a_plugin(manager, session, step, row):
    """Failures in a row are counted for each hook, so one that always fails ends in quarantine."""
    manager.register(failing(ValueError("boom")), "bad")
    for _ in range(QUARANTINE_AFTER):
        manager.session_started(session)
        manager.batch_ended(session, step)
    assert row(manager, "bad").state is PluginState.QUARANTINED


class Flapping:
    """Fails every other time."""

    def __init__(self):
        self.calls = 0

    @hookimpl
    def trainmon_batch_ended(self):
        """Fail on odd calls."""
        self.calls += 1
        if self.calls % 2:
            raise ValueError(self.calls)


def test_an_answer_ends_an_episode(manager, session, step, row):
    """A plugin that fails now and then is never quarantined, and every failure is counted."""
    manager.register(Flapping(), "flapping")
    for _ in range(10 * QUARANTINE_AFTER):
        manager.batch_ended(session, step)
    flapping = row(manager, "flapping")
    assert (flapping.state, flapping.failures) == (PluginState.ACTIVE, 5 * QUARANTINE_AFTER)


def test_an_episode_is_logged_once(manager, session, step, caplog):
    """A plugin that fails on and on is told of twice: when it begins, and at its quarantine."""
    manager.register(failing(ValueError("boom")), "bad", "acme", "1.0")
    for _ in range(20):
        manager.batch_ended(session, step)
    assert [record.getMessage() for record in caplog.records] == [
        (
            "plugin bad (acme 1.0) raised in trainmon_batch_ended: ValueError: boom; "
            "caught and counted, all else goes on"
        ),
        "plugin bad (acme 1.0) is quarantined: 5 failures of trainmon_batch_ended in a row",
    ]


def test_a_flapping_plugin_does_not_flood_the_log(manager, session, step, caplog):
    """Of many short episodes the first, second, fourth, eighth and so on are told."""
    manager.register(Flapping(), "flapping")
    for _ in range(200):
        manager.batch_ended(session, step)
    assert len(caplog.records) == 7


@pytest.mark.parametrize("role", ["trainer", "cli"])
@pytest.mark.parametrize("error", [StopTraining(), KeyboardInterrupt(), SystemExit(3)])
def test_what_asks_the_program_to_stop_passes(session, step, error, role, row):
    """StopTraining, Ctrl-C and sys.exit are requests, not failures, in a user's own process."""
    manager = PluginManager(Settings.from_environment(), role)
    manager.register(failing(error), "plugin")
    with pytest.raises(type(error)) as raised:
        manager.batch_ended(session, step)
    assert raised.value is error
    assert row(manager, "plugin").failures == 0


@pytest.mark.parametrize("role", ["relay", "monitor"])
@pytest.mark.parametrize("error", [StopTraining(), KeyboardInterrupt(), SystemExit(3)])
def test_no_plugin_ends_a_relay_or_a_monitor(session, step, error, role, row):
    """There a plugin's wish to end the program is a failure like any other."""
    manager = PluginManager(Settings.from_environment(), role)
    manager.register(failing(error), "plugin")
    manager.batch_ended(session, step)
    assert row(manager, "plugin").failures == 1


class PanicException(BaseException):
    """What a Rust extension raises when it panics: no Exception."""


def test_a_panic_of_an_extension_is_caught(manager, session, step, row):
    """An error outside the Exception tree is a plugin's failure like any other."""
    manager.register(failing(PanicException("index out of bounds")), "bad")
    manager.batch_ended(session, step)
    assert row(manager, "bad").last_error.endswith("PanicException: index out of bounds")


class Unreadable(Exception):  # noqa: N818 - as strangers name things
    """Its text raises."""

    def __str__(self):
        raise RuntimeError("no text")


def test_an_error_without_a_text_is_caught(manager, session, step, row):
    """An exception whose own text raises is described by its type."""
    manager.register(failing(Unreadable()), "bad")
    manager.batch_ended(session, step)
    assert row(manager, "bad").last_error == (
        "trainmon_batch_ended: Unreadable: (its text cannot be read)"
    )


def test_a_long_error_is_cut(manager, session, step, row):
    """An error's text and traceback are bounded, whatever is in them."""
    manager.register(failing(ValueError("x" * 1_000_000)), "bad")
    manager.batch_ended(session, step)
    bad = row(manager, "bad")
    assert len(bad.last_error) < 600
    assert len(bad.traceback) <= 8000


def test_a_log_handler_that_raises_hurts_no_one(manager, session, step, row):
    """A stranger's logging handler cannot turn a caught failure into a raised one."""

    class Handler(logging.Handler):
        def emit(self, record):
            raise OSError("disk full")

    handler = Handler()
    log = logging.getLogger("trainmon.plugins")
    log.addHandler(handler)
    try:
        manager.register(failing(ValueError("boom")), "bad")
        manager.batch_ended(session, step)
    finally:
        log.removeHandler(handler)
    assert row(manager, "bad").failures == 1


def test_a_failure_keeps_no_array_alive(manager, session):
    """The error is kept as text, so nothing its frames held outlives the step."""

    class Batch:
        """Stands for a batch's arrays."""

    class Bad:
        @hookimpl
        def trainmon_batch_ended(self, batch):
            raise ValueError(type(batch))

    manager.register(Bad(), "bad")
    batch = Batch()
    gone = weakref.ref(batch)
    manager.batch_ended(session, batch)
    del batch
    gc.collect()
    assert gone() is None


def test_a_first_answer_that_fails_passes_the_question_on(manager, session):
    """Where the first answer wins, a plugin that raises counts as one that has none."""
    pictures = ["picture"]
    manager.register(RecordingPlugin({"trainmon_render_batch": pictures}), "good")
    manager.register(RecordingPlugin({"trainmon_render_batch": ValueError("boom")}), "bad")
    assert manager.render_batch(session, "batch") is pictures


def test_the_options_of_a_marker_hold(manager, session, step):
    """Guarded implementations are ordered as their markers say."""
    order = []

    def plugin(name, **options):
        class Plugin:
            @hookimpl(**options)
            def trainmon_batch_ended(self):
                order.append(name)

        return Plugin()

    manager.register(plugin("first", tryfirst=True), "a")
    manager.register(plugin("middle"), "b")
    manager.register(plugin("last", trylast=True), "c")
    manager.batch_ended(session, step)
    assert order == ["first", "middle", "last"]


def test_an_implementation_takes_the_arguments_it_wants(manager, session, step):
    """Functions, bound and static methods, defaults and specname: arguments go by name."""
    seen = []

    class Plugin:
        @hookimpl
        def trainmon_batch_ended(self, batch, session):
            seen.append((session, batch))

        @staticmethod
        @hookimpl
        def trainmon_session_started(session):
            seen.append(session)

        @hookimpl(specname="trainmon_epoch_ended")
        def told(self, epoch):
            seen.append(epoch)

    manager.register(Plugin(), "plugin")
    manager.batch_ended(session, step)
    manager.session_started(session)
    manager.epoch_ended(session, "epoch")
    assert seen == [(session, step), session, "epoch"]


def test_a_failing_authenticator_lets_nobody_in(manager):
    """Where a plugin says who calls, its failure and its quarantine leave callers unknown."""
    bad = RecordingPlugin({"trainmon_authenticate": ValueError("boom")})
    assert not manager.requires_authentication
    manager.register(bad, "bad")
    for _ in range(QUARANTINE_AFTER + 1):
        assert manager.authenticate({}) is None
        assert manager.requires_authentication


def test_nobody_listens_where_no_plugin_implements_a_hook(manager):
    """A caller can tell whether an event is worth building."""
    assert not manager.implements("trainmon_batch_ended")
    manager.register(RecordingPlugin(), "recorder")
    assert manager.implements("trainmon_batch_ended")
