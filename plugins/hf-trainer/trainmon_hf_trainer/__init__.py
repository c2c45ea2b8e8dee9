"""The Hugging Face Trainer on trainmon's page.

``import trainmon_hf_trainer`` makes ``report_to="trainmon"`` known to transformers, and imports
neither it nor Torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainmon_hf_trainer.attach import offer_report_to

if TYPE_CHECKING:
    from trainmon_hf_trainer.callback import TrainmonCallback

__all__ = ["TrainmonCallback"]

offer_report_to()


def __getattr__(name: str) -> Any:
    """Make the callback when it is asked for: its class is one of transformers'."""
    if name == "TrainmonCallback":
        from trainmon_hf_trainer.callback import TrainmonCallback

        return TrainmonCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
