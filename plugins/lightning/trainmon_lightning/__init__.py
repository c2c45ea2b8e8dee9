"""trainmon for PyTorch Lightning: ``Trainer(callbacks=[TrainmonCallback()])``.

Serves ``lightning.pytorch`` and ``pytorch_lightning``; neither is imported by this package before
a callback is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainmon_lightning.callback import TrainmonCallback

__all__ = ["TrainmonCallback"]


def __getattr__(name: str) -> Any:
    """Import the callback when it is asked for: Lightning looks in here for every Trainer."""
    if name == "TrainmonCallback":
        from trainmon_lightning.callback import TrainmonCallback

        return TrainmonCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
