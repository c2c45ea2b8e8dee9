"""Finds installed plugins by the entry-point group ``trainmon``; imports none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from trainmon.plugin import PROJECT_NAME

__all__ = ["Found", "find_plugins"]


@dataclass(frozen=True)
class Found:
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


def _each() -> Iterator[Found]:
    for distribution in distributions():
        try:
            entries = [entry for entry in distribution.entry_points if entry.group == PROJECT_NAME]
        except Exception:  # noqa: BLE001, S112 - a stranger's broken metadata hurts no one
            continue
        if entries:
            name, version = _identity(distribution)
            yield from (Found(entry, name, version) for entry in entries)


def _identity(distribution: Distribution) -> tuple[str, str]:
    try:
        metadata = distribution.metadata
        return str(metadata["Name"] or ""), str(metadata["Version"] or "")
    except Exception:  # noqa: BLE001 - as above; the plugin may work without a name of its maker
        return "", ""
