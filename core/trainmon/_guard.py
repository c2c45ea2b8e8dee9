"""The door of a plugin: what it raises is caught here, counted, told once, and hurts no other."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any

from trainmon.errors import StopTraining

__all__ = [
    "QUARANTINE_AFTER",
    "REQUESTS",
    "Door",
    "Listener",
    "PluginState",
    "describe",
    "guard",
]

QUARANTINE_AFTER = 5
"""Failures of one hook in a row after which its plugin is asked no more."""

REQUESTS = (StopTraining, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What is raised to end a program, or its loop, rather than to tell of a failure."""

_MAX_ERROR_CHARACTERS = 500
_MAX_TRACEBACK_CHARACTERS = 8000
_MAX_FRAMES = 20

Listener = Callable[[str, BaseException], None]
"""Told of a failure, with the hook; tells people of it in place of the log."""

_log = logging.getLogger("trainmon.plugins")


class PluginState(Enum):
    """What has become of a plugin."""

    ACTIVE = "active"
    DISABLED = "disabled"
    """Named by TRAINMON_DISABLE_PLUGINS; not imported."""
    FAILED = "failed"
    """Could not be loaded."""
    INCOMPATIBLE = "incompatible"
    """Does not fit this trainmon's contract; none of its hooks is called."""
    QUARANTINED = "quarantined"
    """Raised too often; none of its hooks is called any more."""


def describe(error: BaseException) -> str:
    """Return an error's type and text in one bounded line; never raises."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the text is a stranger's code, too
        text = "(its text cannot be read)"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:_MAX_ERROR_CHARACTERS]


def _trace(error: BaseException) -> str:
    """Return the end of an error's traceback as text: the error itself would keep arrays alive."""
    try:
        kind = type(error)
        lines = traceback.format_exception(kind, error, error.__traceback__, limit=-_MAX_FRAMES)
        return "".join(lines)[-_MAX_TRACEBACK_CHARACTERS:]
    except Exception:  # noqa: BLE001 - formatting asks the error for its text
        return describe(error)


@dataclass
class HookHealth:
    """How one implementation fares."""

    hook: str
    failures: int = 0
    consecutive: int = 0
    """Failures since it last answered."""
    episodes: int = 0
    """How often it began to fail."""


@dataclass
class Door:
    """What is known of one plugin in this process."""

    name: str
    distribution: str = ""
    version: str = ""
    state: PluginState = PluginState.ACTIVE
    failures: int = 0
    last_error: str = ""
    traceback: str = ""
    hooks: dict[str, HookHealth] = field(default_factory=dict)
    untold: int = 0
    """Failures that a logging handler or a listener failed to take."""
    on_failure: Callable[[Door], None] | None = None
    """Called at the first failure of an episode that is told, and at quarantine."""
    listeners: dict[int, Listener] = field(default_factory=dict, repr=False)
    """By the id of whoever asks the plugin: told of every failure that its asking met."""
    _asking: threading.local = field(default_factory=threading.local, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def title(self) -> str:
        """The plugin for people: its name, and whose it is where that is known."""
        maker = f"{self.distribution} {self.version}".strip()
        return f"{self.name} ({maker})" if maker else self.name

    def ask(self, who: object, call: Callable[..., Any], *values: object) -> Any:
        """Call a guarded hook on behalf of somebody, whose listener then hears of a failure."""
        self._asking.who = who
        try:
            return call(*values)
        finally:
            self._asking.who = None

    def _listening(self) -> list[Listener]:
        """Return who is to hear of what fails now: whoever asked, or all where that is unknown."""
        own = self.listeners.get(id(getattr(self._asking, "who", None)))
        return list(self.listeners.values()) if own is None else [own]

    def refuse(self, state: PluginState, error: BaseException) -> None:
        """Note why the plugin does not run."""
        self.state = state
        self.failures += 1
        self.last_error = describe(error)
        self.traceback = _trace(error)
        self._tell("plugin %s does not run: %s", self.title, self.last_error)

    def failed(self, health: HookHealth, error: BaseException) -> None:
        """Count a failure, tell of it once an episode, close the door after too many."""
        with self._lock:
            self.failures += 1
            health.failures += 1
            health.consecutive += 1
            begins = health.consecutive == 1
            health.episodes += begins
            ends = health.consecutive >= QUARANTINE_AFTER and self.state is PluginState.ACTIVE
            if ends:
                self.state = PluginState.QUARANTINED
        self.last_error = f"{health.hook}: {describe(error)}"
        listeners = self._listening()
        for listener in listeners:
            self._harmless(listener, health.hook, error)
        # A plugin that flaps begins an episode every other call: tell of the 1st, 2nd, 4th, 8th…
        if begins and health.episodes & (health.episodes - 1) == 0:
            self.traceback = _trace(error)
            text = "plugin %s raised in %s; caught and counted, all else goes on"
            self._tell(text, self.title, self.last_error, logged=not listeners)
        if ends:
            text = "plugin %s is quarantined: %d failures of %s in a row"
            self._tell(text, self.title, health.consecutive, health.hook)

    def release(self) -> None:
        """End a quarantine."""
        with self._lock:
            if self.state is PluginState.QUARANTINED:
                self.state = PluginState.ACTIVE
                for health in self.hooks.values():
                    health.consecutive = 0

    def _tell(self, text: str, *values: object, logged: bool = True) -> None:
        if logged:
            self._harmless(_log.warning, text, *values)
        if self.on_failure is not None:
            self._harmless(self.on_failure, self)

    def _harmless(self, tell: Callable[..., None], *values: object) -> None:
        try:
            tell(*values)
        except Exception:  # noqa: BLE001 - a logging handler or listener may be a stranger's, too
            self.untold += 1


def guard(
    door: Door,
    hook: str,
    implementation: Callable[..., Any],
    passed_on: tuple[type[BaseException], ...] = REQUESTS,
) -> Callable[..., Any]:
    """Wrap an implementation so that it never raises, but for what is to be passed on.

    The wrapper answers None where the implementation raised or the plugin is quarantined. pluggy
    finds the argument names through ``__wrapped__``.

    Args:
        door: The plugin's.
        hook: Name of the hook.
        implementation: What the plugin does there.
        passed_on: What reaches the caller.
    """
    health = door.hooks[hook] = HookHealth(hook)
    active = PluginState.ACTIVE

    @wraps(implementation)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if door.state is not active:
            return None
        try:
            answer = implementation(*args, **kwargs)
        # Not only Exception: a panic of a Rust extension is none.
        except BaseException as error:
            if isinstance(error, passed_on):
                raise
            door.failed(health, error)
            return None
        if health.consecutive:
            health.consecutive = 0
        return answer

    return guarded
