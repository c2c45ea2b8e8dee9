"""Which frameworks are installed without the plugin that shows their trainings."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec

__all__ = ["missing_plugins"]

#: A framework's module, and the plugin for it by its entry point and its distribution.
_PLUGINS = (
    ("lightning", "lightning", "trainmon-lightning"),
    ("pytorch_lightning", "lightning", "trainmon-lightning"),
    ("keras", "keras", "trainmon-keras"),
    ("transformers", "hf_trainer", "trainmon-hf-trainer"),
)


def missing_plugins(disabled: Collection[str] = ()) -> list[str]:
    """Return a line for each framework found whose plugin is not; imports none of them.

    Args:
        disabled: Plugins that the user does not want, and needs no hint to.
    """
    from trainmon._discovery import find_plugins

    known = {plugin.name for plugin in find_plugins()} | set(disabled)
    lines: dict[str, str] = {}
    for module, plugin, distribution in _PLUGINS:
        if plugin not in known and plugin not in lines and _is_installed(module):
            lines[plugin] = (
                f"{module} is installed, trainmon's plugin for it is not: "
                f"pip install {distribution}"
            )
    return list(lines.values())


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a broken installation, or a name that a script has taken
        return False
