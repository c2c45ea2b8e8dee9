"""What the author of a plugin imports. The hooks are in :mod:`trainmon.hookspecs`.

A complete plugin, a module ``acme_alarm.py``::

    from trainmon.plugin import hookimpl

    @hookimpl
    def trainmon_batch_ended(session, batch):
        if batch.loss is not None and batch.loss > 100:
            print(f"{session.session_name}: loss {batch.loss:g} at step {batch.global_step}")

and in its ``pyproject.toml`` the line by which trainmon finds it, installed is enabled::

    [project.entry-points.trainmon]
    acme = "acme_alarm"

An implementation takes the arguments it wants, by name, and leaves out the others. A plugin is a
module or an object with methods. What it raises is caught, counted and shown by ``trainmon
plugins``; after five failures of one hook in a row the plugin is quarantined for as long as the
process lives (an adapter until the next session). A plugin may set
``trainmon_hookspec_version`` to the least HOOKSPEC_VERSION it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pluggy

__all__ = ["PROJECT_NAME", "Caller", "hookimpl"]

PROJECT_NAME: Final = "trainmon"
"""Name of the entry-point group, and the prefix of every hook."""

hookimpl: Final = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a function as the implementation of the hook of its name.

``tryfirst=True`` and ``trylast=True`` order it among the plugins; ``specname="trainmon_…"`` names
the hook where the function is called otherwise; ``optionalhook=True`` allows a hook that this
trainmon may not have. Wrappers are refused: one could lose what another plugin answers.
"""


@dataclass(frozen=True)
class Caller:
    """Who calls the monitor, as ``trainmon_authenticate`` says."""

    name: str
    """For the record of commands."""
