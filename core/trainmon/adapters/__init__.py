"""What the adapters of training frameworks share, ours and a stranger's: import it from here.

An adapter feeds a framework's training into a session by the adapter hooks of
:mod:`trainmon.hookspecs`. Names are imported where they are first used: a plugin's module is
imported in processes that never open a session.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainmon.adapters.knobs import offer_controls
    from trainmon.adapters.ranks import join_ranks, rank_and_world, shared_run_key
    from trainmon.adapters.runs import harmless, open_run, say, wanted
    from trainmon.capture.arrays import would_wait
    from trainmon.capture.learning_rate import (
        LearningRates,
        RefusedError,
        Scale,
        adjust_learning_rate,
        learning_rate_control,
        learning_rate_objection,
        wanted_scale,
    )
    from trainmon.capture.lifecycle import ending_of
    from trainmon.capture.words import TokenTexts

__all__ = [
    "LearningRates",
    "RefusedError",
    "Scale",
    "TokenTexts",
    "adjust_learning_rate",
    "ending_of",
    "harmless",
    "join_ranks",
    "learning_rate_control",
    "learning_rate_objection",
    "offer_controls",
    "open_run",
    "rank_and_world",
    "say",
    "shared_run_key",
    "wanted",
    "wanted_scale",
    "would_wait",
]

#: Where each name is: a line here and one above for each that is added.
_HOMES = {
    "LearningRates": "trainmon.capture.learning_rate",
    "RefusedError": "trainmon.capture.learning_rate",
    "Scale": "trainmon.capture.learning_rate",
    "TokenTexts": "trainmon.capture.words",
    "adjust_learning_rate": "trainmon.capture.learning_rate",
    "ending_of": "trainmon.capture.lifecycle",
    "harmless": "trainmon.adapters.runs",
    "join_ranks": "trainmon.adapters.ranks",
    "learning_rate_control": "trainmon.capture.learning_rate",
    "learning_rate_objection": "trainmon.capture.learning_rate",
    "offer_controls": "trainmon.adapters.knobs",
    "open_run": "trainmon.adapters.runs",
    "rank_and_world": "trainmon.adapters.ranks",
    "say": "trainmon.adapters.runs",
    "shared_run_key": "trainmon.adapters.ranks",
    "wanted": "trainmon.adapters.runs",
    "wanted_scale": "trainmon.capture.learning_rate",
    "would_wait": "trainmon.capture.arrays",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
