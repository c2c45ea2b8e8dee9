"""A plugin that does not fit the contract is refused whole, with what to do about it."""

from __future__ import annotations

import threading
from types import ModuleType

import pytest

from trainmon.errors import PluginError
from trainmon.hookspecs import HOOKSPEC_VERSION
from trainmon.manager import PluginState
from trainmon.plugin import hookimpl
from trainmon.testing import RecordingPlugin


def module(source: str) -> ModuleType:
    """Return a module made of some source."""
    made = ModuleType("stranger")
    exec(f"from trainmon.plugin import hookimpl\n{source}", vars(made))  # noqa: S102 - our own text
    return made


UNFIT = {
    "misspelt hook": (
        "@hookimpl\ndef trainmon_batch_end(batch): pass",
        "no hook trainmon_batch_end: did you mean trainmon_batch_ended?",
    ),
    "hook unlike any": ("@hookimpl\ndef xyz(): pass", "no hook xyz: they are trainmon_apply_"),
    "unknown argument": (
        "@hookimpl\ndef trainmon_batch_ended(step): pass",
        "trainmon_batch_ended has no argument step; it has session, batch",
    ),
    "forgotten marker": (
        "def trainmon_batch_ended(batch): pass",
        "trainmon_batch_ended is not marked: put @hookimpl",
    ),
    "newer contract": (
        f"trainmon_hookspec_version = {HOOKSPEC_VERSION + 1}",
        f"needs version {HOOKSPEC_VERSION + 1} of the hooks, this trainmon has {HOOKSPEC_VERSION}",
    ),
    "version of the wrong type": (
        "trainmon_hookspec_version = '1.0'",
        "trainmon_hookspec_version is '1.0', but should be a whole number",
    ),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef trainmon_render_batch():\n    return (yield)",
        "use tryfirst or trylast instead",
    ),
    "old wrapper": (
        "@hookimpl(hookwrapper=True)\ndef trainmon_render_batch():\n    yield",
        "use tryfirst or trylast instead",
    ),
    "coroutine": (
        "@hookimpl\nasync def trainmon_batch_ended(batch): pass",
        "trainmon_batch_ended is a coroutine or generator",
    ),
    "generator": (
        "@hookimpl\ndef trainmon_batch_ended(batch): yield",
        "trainmon_batch_ended is a coroutine or generator",
    ),
    "implemented twice": (
        (
            "@hookimpl\ndef trainmon_batch_ended(): pass\n"
            "@hookimpl(specname='trainmon_batch_ended')\ndef trainmon_other(): pass"
        ),
        "trainmon_batch_ended is implemented twice",
    ),
}


@pytest.mark.parametrize(("source", "told"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_plugin_is_refused(manager, row, source, told):
    """It is a row that says why, and none of its hooks is registered."""
    source += "\n@hookimpl\ndef trainmon_session_started(): raise SystemExit"
    with pytest.raises(PluginError) as error:
        manager.register(module(source), "stranger")
    assert told in str(error.value)
    stranger = row(manager, "stranger")
    assert (stranger.state, stranger.hooks) == (PluginState.INCOMPATIBLE, ())
    assert told in stranger.last_error
    manager.session_started(None)


def test_an_optional_hook_of_a_newer_trainmon_is_left_out(manager, row):
    """A plugin may serve several versions of trainmon."""
    source = "@hookimpl(optionalhook=True)\ndef trainmon_dream(dream): pass"
    assert manager.register(module(source), "stranger")
    assert row(manager, "stranger").hooks == ()


def test_a_class_is_refused(manager):
    """Methods of a class have no object to be called on, so an object is asked for."""
    with pytest.raises(PluginError, match=r"RecordingPlugin is a class.*RecordingPlugin\(\)"):
        manager.register(RecordingPlugin, "recorder")


def test_a_name_is_taken_once(manager):
    """The second plugin of a name is refused, and told who has it."""
    manager.register(RecordingPlugin(), "acme", "acme-tracker", "1.2.3")
    with pytest.raises(PluginError, match=r"taken by acme \(acme-tracker 1.2.3\)"):
        manager.register(RecordingPlugin(), "acme")
    assert [row.state for row in manager.rows()] == [PluginState.ACTIVE, PluginState.INCOMPATIBLE]


def test_reading_a_plugin_runs_none_of_its_properties(manager):
    """Hooks are found statically: a property or a lazy attribute is not evaluated."""
    called = []

    class Plugin:
        @property
        def expensive(self):
            raise AssertionError("evaluated")

        @hookimpl
        def trainmon_session_started(self):
            called.append(self)

    plugin = Plugin()
    assert manager.register(plugin, "plugin")
    manager.session_started(None)
    assert called == [plugin]


def test_a_plugin_whose_attributes_raise_is_refused(manager, row):
    """Whatever happens while a plugin is read is that plugin's failure."""

    class Plugin:
        def __dir__(self):
            raise RuntimeError("no list")

    with pytest.raises(PluginError, match="RuntimeError: no list"):
        manager.register(Plugin(), "plugin")
    assert row(manager, "plugin").state is PluginState.INCOMPATIBLE


def test_plugins_may_be_registered_while_hooks_run(manager, session, step):
    """Registration and calls in several threads disturb neither."""
    done = threading.Event()
    errors = []

    def call():
        try:
            while not done.is_set():
                manager.batch_ended(session, step)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        for number in range(50):
            assert manager.register(RecordingPlugin(), f"plugin {number}")
    finally:
        done.set()
        caller.join()
    assert not errors
    assert len(manager.rows()) == 50
