"""Attaches to a framework that a script imports, where ``TRAINMON_MONITOR`` is set.

``trainmon.pth``, which Python reads at every start, imports this module only then. A plugin names
the modules of its framework by the entry-point group ``trainmon.instruments``: when one of them has
been imported, its hook ``trainmon_instrument`` is called. Until then nothing is loaded but this
module, and nothing is looked for until the first import from outside the standard library: Python
starts many processes that train nothing.

Written here, in place of using wrapt's post-import hooks, because importing wrapt 2.5 added twenty
times what this adds to the start of each of those processes (170 and 8 ms on two busy cores).
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["Watcher", "install"]


def targets() -> dict[str, list[str]]:
    """Return the names of the plugins that wait for each module; never raises."""
    from trainmon._discovery import find_instruments

    disabled = {name.strip() for name in os.environ.get("TRAINMON_DISABLE_PLUGINS", "").split(",")}
    found: dict[str, list[str]] = {}
    for module, plugin in find_instruments():
        if plugin not in disabled and plugin not in found.setdefault(module, []):
            found[module].append(plugin)
    return found


#: Imports that tell nothing: Python looks for two of these at every start, and the search for
#: plugins needs ours.
_EVERYWHERE = sys.stdlib_module_names | {"sitecustomize", "trainmon", "usercustomize"}
#: How long an import waits for another thread's search, in seconds: it cannot be for ever.
_PATIENCE_S = 10.0


class Watcher:
    """A finder on ``sys.meta_path`` that finds nothing itself, and tells when modules are imported.

    Args:
        look: Returns the names of the plugins by the module they wait for; called once.
        attach: Called with a module's name and those plugins once it was imported.
    """

    def __init__(
        self,
        look: Callable[[], dict[str, list[str]]],
        attach: Callable[[str, list[str]], None],
    ) -> None:
        self._look: Callable[[], dict[str, list[str]]] | None = look
        self._attach = attach
        self._waiting: dict[str, list[str]] = {}
        self._busy: set[tuple[str, int]] = set()
        self._lock = allocate_lock()
        self._searching = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how the others would load a module that is waited for; None for any other."""
        if self._look is not None and name.partition(".")[0] not in _EVERYWHERE:
            self._search()
        if name not in self._waiting:
            return None
        key = (name, get_ident())  # another finder may ask everyone again, and so us
        if key in self._busy:
            return None
        self._busy.add(key)
        try:
            spec = self._of_others(name, path, target)
        finally:
            self._busy.discard(key)
        if spec is not None and hasattr(spec.loader, "exec_module"):  # not one of an older kind
            watching: Any = _Loader(spec.loader, self._imported)  # a Loader by its behaviour
            spec.loader = watching
        return spec

    def _search(self) -> None:
        """Learn what is waited for; other threads that import meanwhile wait for it."""
        this = get_ident()
        if self._searching == this or not self._lock.acquire(timeout=_PATIENCE_S):
            return  # an import of the search itself, or one that it waits for
        try:
            if self._look is not None:
                self._searching = this
                self._waiting = _or_else(self._look, {}, "the plugins cannot be listed")
                self._look = None
        finally:
            self._searching = 0
            self._lock.release()

    def _of_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if find is None or finder is self:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                return spec
        return None

    def _imported(self, name: str) -> None:
        plugins = self._waiting.pop(name, None)
        if plugins:
            _or_else(lambda: self._attach(name, plugins), None, f"{name} is not watched")


class _Loader:
    """A loader that is another one, and says when it has loaded the module.

    Args:
        loader: The other one.
        imported: Called with the module's name.
    """

    def __init__(self, loader: Any, imported: Callable[[str], None]) -> None:
        self._loader = loader
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as the other one does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Load it, with no trace of us in it, and say so."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module.__name__)


def _or_else(call: Callable[[], Any], default: Any, what: str) -> Any:
    """Return what a call returns, or else the default, having said why."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the user's import goes on, whatever happens in here
        _say(what, error)
        return default


def _say(what: str, error: Exception) -> None:
    import logging
    from contextlib import suppress

    with suppress(Exception):  # a logging handler may be a stranger's
        logging.getLogger("trainmon").warning(
            "trainmon: %s: %s: %s (training goes on)", what, type(error).__name__, error
        )


def attach(_: str, plugins: list[str]) -> None:
    """Let plugins attach to the framework that was imported; none of them can raise here."""
    from trainmon.manager import get_manager

    manager = get_manager("trainer")
    if manager.role != "trainer":
        return  # one of trainmon's own processes, in which a plugin imports a framework
    for plugin in plugins:
        if manager.load(plugin):
            manager.instrument(plugin)


def install() -> None:
    """Watch for the frameworks, once."""
    if not any(isinstance(finder, Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, Watcher(targets, attach))
