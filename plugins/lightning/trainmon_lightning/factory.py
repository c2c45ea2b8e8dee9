"""Automatic attachment: Lightning asks this for callbacks whenever a Trainer is made."""

from __future__ import annotations

import logging
import os
from typing import Any

from trainmon.adapters import wanted

__all__ = ["callbacks"]

_PLUGIN = "lightning"


def callbacks() -> list[Any]:
    """Return a callback where TRAINMON_MONITOR asks for one, else none; never raises."""
    disabled = os.environ.get("TRAINMON_DISABLE_PLUGINS", "").split(",")
    if not wanted() or _PLUGIN in (name.strip() for name in disabled):
        return []
    try:
        from trainmon_lightning.callback import AutomaticCallback

        return [AutomaticCallback()]
    except Exception:  # law 1: Lightning calls this unguarded; told in the log
        logging.getLogger("trainmon").warning("trainmon: this Trainer is not shown", exc_info=True)
        return []
