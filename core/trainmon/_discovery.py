"""Finds installed plugins, and what they wait for, by their entry points; imports none of them.

Nor does it import pluggy: it is asked in processes that may never need a plugin.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Found", "find_instruments", "find_plugins", "may_implement"]

#: Entry points that name plugins; :data:`trainmon.plugin.PROJECT_NAME`.
_PLUGINS: Final = "trainmon"
#: Entry points whose name is a module of a framework, and whose value is the plugin's as above.
_INSTRUMENTS: Final = "trainmon.instruments"
#: What the code of a plugin may be in; Python's own and compiled.
_CODE: Final = (".py", ".pyc", ".so", ".pyd")
_MOST_FILES: Final = 5000


class Found(NamedTuple):
    """An entry point that names a plugin."""

    entry: EntryPoint
    distribution: str
    """Name of the distribution that installed it; empty where its metadata is broken."""
    version: str

    @property
    def name(self) -> str:
        """Name of the plugin."""
        return self.entry.name


def find_plugins() -> list[Found]:
    """Return every installed plugin by name, the first on the path first; never raises.

    A distribution whose metadata cannot be read is passed over: it may have nothing to do with us.
    """
    seen: set[tuple[str, str]] = set()
    found = []
    for plugin in _each():
        key = (plugin.name, plugin.distribution)
        # The same distribution further down the path is an older copy that is never imported.
        if key not in seen:
            seen.add(key)
            found.append(plugin)
    return sorted(found, key=lambda plugin: plugin.name)


def find_instruments() -> list[tuple[str, str]]:
    """Return each module of a framework that a plugin waits for, with the plugin's name.

    Never raises. An entry point whose value no plugin of the same distribution has is passed over.
    """
    found = []
    for distribution in distributions():
        names = {entry.value: entry.name for entry in _entries(distribution, _PLUGINS)}
        if names:
            waiting = _entries(distribution, _INSTRUMENTS)
            found += [(each.name, names[each.value]) for each in waiting if each.value in names]
    return found


def may_implement(found: Found, hook: str) -> bool:
    """Return whether a plugin that cannot be loaded may implement a hook, as its code names it.

    Imports nothing, never raises. Where the code cannot be read, it may.
    """
    try:
        files = list(_code_of(found.entry.module.partition(".")[0]))
        named = any(hook.encode() in path.read_bytes() for path in files)
    except Exception:  # noqa: BLE001 - a stranger's files and finders: what they hold is unknown
        return True
    return named or not files or len(files) > _MOST_FILES


def _code_of(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        yield Path(str(spec.origin))
        return
    for folder in spec.submodule_search_locations:
        for path in Path(folder).rglob("*"):
            if path.suffix in _CODE and path.is_file():
                yield path


def _each() -> Iterator[Found]:
    for distribution in distributions():
        entries = _entries(distribution, _PLUGINS)
        if entries:
            name, version = _identity(distribution)
            yield from (Found(entry, name, version) for entry in entries)


def _entries(distribution: Distribution, group: str) -> list[EntryPoint]:
    try:
        return [entry for entry in distribution.entry_points if entry.group == group]
    except Exception:  # noqa: BLE001 - a stranger's broken metadata hurts no one
        return []


def _identity(distribution: Distribution) -> tuple[str, str]:
    try:
        metadata = distribution.metadata
        return str(metadata["Name"] or ""), str(metadata["Version"] or "")
    except Exception:  # noqa: BLE001 - as above; the plugin may work without a name of its maker
        return "", ""
