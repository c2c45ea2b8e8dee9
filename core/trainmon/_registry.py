"""The plugins of this process: found, checked, guarded. :mod:`trainmon.manager` calls them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from trainmon import hookspecs
from trainmon._contract import read_plugin
from trainmon._discovery import Found, find_plugins, may_implement
from trainmon._failures import FailureRecord, FailureRecords
from trainmon._guard import REQUESTS, Door, Listener, PluginState, describe, guard
from trainmon.config import Settings
from trainmon.errors import PluginError
from trainmon.plugin import PROJECT_NAME

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HOOKS", "PluginRegistry", "PluginRow", "Role"]

Role = Literal["trainer", "relay", "monitor", "gateway", "cli"]
"""Kind of the process a manager works in."""

#: Where a plugin may end the program: the user's own, or one that a person started and waits for.
_MAY_STOP: frozenset[Role] = frozenset({"trainer", "cli"})


def _specified() -> dict[str, tuple[str, ...]]:
    manager = pluggy.PluginManager(PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    callers: dict[str, Any] = vars(manager.hook)
    return {name: tuple(caller.spec.argnames) for name, caller in sorted(callers.items())}


HOOKS: Mapping[str, tuple[str, ...]] = _specified()
"""Every hook by name, with its arguments in order."""


@dataclass(frozen=True)
class PluginRow:
    """One plugin as ``trainmon plugins`` shows it."""

    name: str
    distribution: str
    """Empty for a plugin that no package installed."""
    version: str
    state: PluginState
    hooks: tuple[str, ...]
    failures: int
    last_error: str
    traceback: str


class _Proxy:
    """What pluggy registers in a plugin's place: an object whose attributes are guarded hooks."""


class PluginRegistry:
    """Holds the plugins of one process.

    Args:
        settings: Says which plugins are disabled.
        role: Kind of this process. A ``trainer`` writes records only by :meth:`save_failures`, for
            a disk can be slow.
        record: Folder in which failures are kept for ``trainmon plugins``; None: nowhere.
    """

    def __init__(
        self, settings: Settings | None = None, role: Role = "cli", record: Path | None = None
    ) -> None:
        self._settings = settings or Settings.from_environment()
        self._role = role
        self._records = FailureRecords(record) if record is not None else None
        self._unsaved: dict[str, Door] = {}
        self._plugins = pluggy.PluginManager(PROJECT_NAME)
        self._plugins.add_hookspecs(hookspecs)
        self._hook = self._plugins.hook
        self._rows: list[Door] = []
        self._doors: dict[str, Door] = {}
        self._considered: set[tuple[str, str]] = set()
        self._unloaded: dict[tuple[str, str], Found] = {}
        self._direct: dict[str, dict[str, Callable[..., Any]]] = {}
        self._lock = threading.RLock()

    @property
    def role(self) -> Role:
        """Kind of this process."""
        return self._role

    # Finding and registering.

    def discover(self) -> None:
        """Load every installed plugin that is not loaded or disabled; never raises."""
        with self._lock:
            # pluggy asks the last registered first: reversed, plugins are asked by name.
            for found in reversed(find_plugins()):
                self._consider(found)

    def load(self, name: str) -> bool:
        """Load one installed plugin and return whether it is active; never raises.

        One in quarantine is released: a new session gives its adapter a new chance.
        """
        with self._lock:
            if not self.knows(name):
                for found in find_plugins():
                    if found.name == name:
                        self._consider(found)
            if self.knows(name):
                self._doors[name].release()
            return self.is_active(name)

    def register(
        self, plugin: object, name: str, distribution: str = "", version: str = ""
    ) -> bool:
        """Take in a plugin that is no entry point: one of trainmon's own, or one of a test.

        Returns:
            Whether it is active; False: it is disabled.

        Raises:
            PluginError: The name is taken, or the plugin does not fit the contract.
        """
        with self._lock:
            door = self._open(name, distribution, version)
            if door.state is PluginState.ACTIVE:
                self._admit(door, plugin)
            return door.state is PluginState.ACTIVE

    def watch(self, name: str, who: object, listener: Listener | None) -> None:
        """Have the failures that ``who`` meets in a plugin told to ``listener``; None: no more.

        It is called where the hook was called, and shows people what the log would.
        """
        door = self._doors.get(name)
        if door is not None and listener is not None:
            door.listeners[id(who)] = listener
        elif door is not None:
            door.listeners.pop(id(who), None)

    def watch_all(self, who: object, listener: Callable[[str, str, BaseException], None]) -> None:
        """Have every failure of any plugin told to ``listener``, with its name and the hook."""
        with self._lock:
            for name in self._doors:
                self.watch(name, who, partial(listener, name))

    def rows(self) -> list[PluginRow]:
        """Return every plugin met so far, by name, those that do not run included."""
        with self._lock:
            doors = sorted(self._rows, key=lambda door: door.name)
        return [
            PluginRow(
                name=door.name,
                distribution=door.distribution,
                version=door.version,
                state=door.state,
                hooks=tuple(sorted(door.hooks)),
                failures=door.failures,
                last_error=door.last_error,
                traceback=door.traceback,
            )
            for door in doors
        ]

    @property
    def failures(self) -> int:
        """Failures of all plugins in this process so far."""
        return sum(door.failures for door in self._rows)

    @property
    def unwritten_records(self) -> int:
        """Failures that could not be written to the folder of records."""
        return self._records.unwritten if self._records is not None else 0

    def knows(self, name: str) -> bool:
        """Return whether a plugin of that name was met, running or not."""
        return name in self._doors

    def is_active(self, name: str) -> bool:
        """Return whether a plugin of that name runs."""
        door = self._doors.get(name)
        return door is not None and door.state is PluginState.ACTIVE

    def implements(self, hook: str) -> bool:
        """Return whether any plugin implements a hook: if none does, no event need be built."""
        return bool(getattr(self._hook, hook).get_hookimpls())

    def broken(self, hook: str) -> list[PluginRow]:
        """Return the installed plugins that do not run, and may implement a hook by their code.

        One that was disabled on purpose is none of them.
        """
        with self._lock:
            rows = [(row, self._unloaded.get((row.name, row.distribution))) for row in self.rows()]
        return [row for row, found in rows if found is not None and may_implement(found, hook)]

    def save_failures(self) -> None:
        """Write the records that a trainer has held back; never raises."""
        doors, self._unsaved = self._unsaved, {}
        if self._records is not None:
            for door in doors.values():
                self._records.write(self._record_of(door))

    def _consider(self, found: Found) -> None:
        """Load what an entry point names, or note why not."""
        key = (found.name, found.distribution)
        if key in self._considered:
            return
        self._considered.add(key)
        self._unloaded[key] = found
        try:
            door = self._open(found.name, found.distribution, found.version)
            if door.state is not PluginState.ACTIVE:
                del self._unloaded[key]  # disabled on purpose
            elif (plugin := self._import(door, found)) is not None:
                self._admit(door, plugin)
                del self._unloaded[key]
                self._settle(found.name)
        except PluginError:
            pass  # noted in the plugin's row and told in the log

    def _settle(self, name: str) -> None:
        """Forget that a plugin which runs here did not load elsewhere: it was mended since."""
        if self._records is not None:
            self._records.settle(name, {PluginState.FAILED.value, PluginState.INCOMPATIBLE.value})

    def _import(self, door: Door, found: Found) -> object | None:
        """Return the loaded plugin; None, and noted, where its import raised."""
        try:
            plugin: object = found.entry.load()
        except KeyboardInterrupt:
            raise
        # Whatever a stranger's module does at import, sys.exit and panics of extensions included.
        except BaseException as error:  # noqa: BLE001 - the door of an import; noted in the row
            door.refuse(PluginState.FAILED, error)
            return None
        return plugin

    def _open(self, name: str, distribution: str, version: str) -> Door:
        """Make a plugin's row.

        Raises:
            PluginError: The name is taken; noted in the row.
        """
        door = Door(name, distribution, version, on_failure=self._failed)
        self._rows.append(door)
        taken = self._doors.get(name)
        if taken is not None:
            error = PluginError(f"the name {name} is taken by {taken.title}: rename one of them")
            door.refuse(PluginState.INCOMPATIBLE, error)
            raise error
        if name in self._settings.disable_plugins:
            door.state = PluginState.DISABLED
        self._doors[name] = door
        return door

    def _admit(self, door: Door, plugin: object) -> None:
        """Check a plugin and register guarded stand-ins for its hooks.

        Raises:
            PluginError: It does not fit; noted in the row.
        """
        try:
            self._register_guarded(door, plugin)
        # The plugin's attributes and signatures are a stranger's, too.
        except Exception as error:
            if self._plugins.has_plugin(door.name):
                self._plugins.unregister(name=door.name)
            door.hooks.clear()
            door.refuse(PluginState.INCOMPATIBLE, error)
            if isinstance(error, PluginError):
                raise
            raise PluginError(describe(error)) from error

    def _register_guarded(self, door: Door, plugin: object) -> None:
        proxy = _Proxy()
        passed_on = REQUESTS if self._role in _MAY_STOP else ()
        for hook, function, options in read_plugin(plugin, HOOKS):
            stand_in = guard(door, hook, function, passed_on)
            # pluggy reads the options from this attribute of what it registers.
            setattr(stand_in, f"{PROJECT_NAME}_impl", {**options, "specname": None})
            setattr(proxy, hook, stand_in)
        self._plugins.register(proxy, door.name)
        self._direct[door.name] = {hook: self._direct_call(proxy, hook) for hook in door.hooks}

    def _direct_call(self, proxy: object, hook: str) -> Callable[..., Any]:
        """Return a callable that takes every argument of a hook and passes on those wanted."""
        implementations: list[pluggy.HookImpl] = getattr(self._hook, hook).get_hookimpls()
        own = next(item for item in implementations if item.plugin is proxy)
        wanted = tuple(own.argnames) + tuple(own.kwargnames)
        function: Callable[..., Any] = own.function
        if wanted == HOOKS[hook]:
            return function
        places = [HOOKS[hook].index(name) for name in wanted]
        return lambda *values: function(*[values[place] for place in places])

    def _failed(self, door: Door) -> None:
        self._unsaved[door.name] = door
        if self._role != "trainer":
            self.save_failures()

    def _record_of(self, door: Door) -> FailureRecord:
        return FailureRecord(
            name=door.name,
            distribution=door.distribution,
            version=door.version,
            state=door.state.value,
            failures=door.failures,
            last_error=door.last_error,
            traceback=door.traceback,
            role=self._role,
        )
