"""What the adapters of training frameworks share, ours and a stranger's: import it from here.

An adapter feeds a framework's training into a session by the adapter hooks of
:mod:`trainmon.hookspecs`.
"""

from __future__ import annotations

from trainmon.adapters.runs import harmless, open_run, say, wanted
from trainmon.capture.learning_rate import (
    LearningRates,
    RefusedError,
    Scale,
    adjust_learning_rate,
    learning_rate_control,
    wanted_scale,
)
from trainmon.capture.lifecycle import ending_of

__all__ = [
    "LearningRates",
    "RefusedError",
    "Scale",
    "adjust_learning_rate",
    "ending_of",
    "harmless",
    "learning_rate_control",
    "open_run",
    "say",
    "wanted",
    "wanted_scale",
]
