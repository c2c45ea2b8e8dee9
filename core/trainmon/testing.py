"""For the tests of plugins: a manager of their own, and a plugin that notes what it is told.

In ``conftest.py``::

    pytest_plugins = ["trainmon.testing"]

and in a test::

    def test_alarm(trainmon_plugins, capsys):
        trainmon_plugins.register(acme_alarm, "acme")
        batch = StepRecord(global_step=7, epoch=0, batch_index=7, time_ms=0.0, loss=1e6)
        trainmon_plugins.batch_ended(SessionInfo("run", "process"), batch)
        assert "step 7" in capsys.readouterr().out

Not registered with pytest by itself, so that it slows nobody's tests who does not ask for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from trainmon import hookspecs
from trainmon.config import Settings
from trainmon.manager import HOOKS, PluginManager, _process_wide
from trainmon.plugin import hookimpl

__all__ = ["HookCall", "IsolatedPluginManager", "RecordingPlugin", "trainmon_plugins"]

_log = logging.getLogger("trainmon.plugins")


class IsolatedPluginManager(PluginManager):
    """A manager that knows only the plugins a test registers.

    It refuses to look for installed ones: what a developer has installed must not decide a test.
    """

    def __init__(self) -> None:
        super().__init__(Settings(), record=None)
        self.failures_expected = False
        """To be set where a plugin is meant to raise; else ``trainmon_plugins`` fails the test."""

    def discover(self) -> None:
        """Refuse, and say so in the log."""
        _log.warning("installed plugins are not loaded in a test: register those it is about")

    def load(self, name: str) -> bool:
        """Return whether the test has registered a plugin of that name; load nothing."""
        return super().load(name) if self.knows(name) else False

    def check(self) -> None:
        """Raise what plugins did wrong, which the manager caught, unless it was expected.

        Raises:
            AssertionError: A plugin raised; with its traceback.
        """
        wrong = [row for row in self.rows() if row.last_error]
        if wrong and not self.failures_expected:
            raise AssertionError("\n".join(f"{row.name}: {row.traceback}" for row in wrong))


@dataclass(frozen=True)
class HookCall:
    """One call of a hook."""

    hook: str
    arguments: Mapping[str, Any]


class RecordingPlugin:
    """Implements every hook and notes each call.

    Args:
        answers: What to answer, by hook; an exception is raised. Else None. The hook
            ``trainmon_authenticate``, which changes what a monitor lets in, is implemented only
            where it has an answer here.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.calls: list[HookCall] = []
        """Every call so far, oldest first."""
        self._answers = dict(answers or {})
        for hook in HOOKS:
            if hook != "trainmon_authenticate" or hook in self._answers:
                setattr(self, hook, self._implementation(hook))

    def of(self, hook: str) -> list[Mapping[str, Any]]:
        """Return the arguments of each call of one hook, oldest first."""
        return [call.arguments for call in self.calls if call.hook == hook]

    def _implementation(self, hook: str) -> Callable[..., Any]:
        # pluggy reads the argument names through __wrapped__, which is the specification.
        @wraps(getattr(hookspecs, hook))
        def note(*values: Any) -> Any:
            self.calls.append(HookCall(hook, dict(zip(HOOKS[hook], values, strict=True))))
            answer = self._answers.get(hook)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return hookimpl(note)


@pytest.fixture
def trainmon_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedPluginManager]:
    """Give the test a manager of its own, which ``get_manager()`` returns for as long as it runs.

    At the end the test fails with what its plugins raised, unless it expected failures.
    """
    manager = IsolatedPluginManager()
    monkeypatch.setattr(_process_wide, "manager", manager)
    yield manager
    manager.check()
