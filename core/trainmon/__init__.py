"""trainmon: watch every batch a model sees, and steer the run.

``import trainmon`` is cheap and loads no framework, no grpcio, no grpclib and no Pillow.
"""

from __future__ import annotations

from importlib import import_module

# Not from `typing`, which takes longer to import than the rest: see trainmon._autoattach.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trainmon.errors import ConfigurationError, StopTraining, TrainmonError
    from trainmon.plugin import hookimpl
    from trainmon.session import Session
    from trainmon.start import start_session

__version__ = "0.1.0"
__all__ = [
    "ConfigurationError",
    "Session",
    "StopTraining",
    "TrainmonError",
    "__version__",
    "hookimpl",
    "start_session",
]

_HOMES = {
    "ConfigurationError": "trainmon.errors",
    "Session": "trainmon.session",
    "StopTraining": "trainmon.errors",
    "TrainmonError": "trainmon.errors",
    "hookimpl": "trainmon.plugin",
    "start_session": "trainmon.start",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
