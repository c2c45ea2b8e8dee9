"""Doing something once a module is imported, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from trainmon.adapters import harmless

__all__ = ["when_imported"]


def when_imported(name: str, act: Callable[[ModuleType], object]) -> None:
    """Call ``act`` with a module: now if it is there, else right after its import.

    What ``act`` raises is logged once and harms no import.
    """
    act = harmless(act)
    module = sys.modules.get(name)
    # One that is half imported is there, too: its loader is called no more.
    if module is not None:
        act(module)
    else:
        sys.meta_path.insert(0, _Watcher(name, act))


class _Watcher(MetaPathFinder):
    """Waits for the import of one module, and then leaves."""

    def __init__(self, name: str, act: Callable[[ModuleType], object]) -> None:
        self._name = name
        self._act = act
        self._looking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the importer's signature
        target: ModuleType | None = None,  # noqa: ARG002 - the importer's signature
    ) -> ModuleSpec | None:
        """Return the module's own spec, with a loader that calls ``act`` afterwards."""
        if fullname != self._name or self._looking:
            return None
        self._looking = True  # find_spec asks us again
        try:
            spec = find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _TellingLoader(spec.loader, self._done)
        return spec

    def _done(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._act(module)


class _TellingLoader(Loader):
    """Loads as another loader does, and tells when it is done."""

    def __init__(self, loader: Any, done: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._tell = done

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the other loader makes."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, with its own loader in place, and tell."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._tell(module)
