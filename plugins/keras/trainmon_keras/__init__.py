"""Keras 3 in trainmon: ``model.fit(..., callbacks=[TrainmonCallback()])``, or no line at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainmon_keras.callback import TrainmonCallback

__all__ = ["TrainmonCallback"]


def __getattr__(name: str) -> Any:
    """Make the callback when it is asked for: to import this package imports no Keras."""
    if name == "TrainmonCallback":
        from trainmon_keras.callback import TrainmonCallback

        return TrainmonCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
