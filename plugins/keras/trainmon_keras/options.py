"""What a user may say of a run in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainmon_keras.choose import Pick

if TYPE_CHECKING:
    from trainmon.config import Settings

__all__ = ["Options"]


@dataclass
class Options:
    """Arguments of TrainmonCallback; see there."""

    name: str = ""
    class_names: Sequence[str] = ()
    images: Pick = None
    targets: Pick = None
    outputs: Pick = None
    box_format: str = ""
    normalization: Mapping[str, Sequence[float]] | None = None
    vocabulary: Sequence[str] = ()
    checkpoints: str | Path = "trainmon-checkpoints"
    settings: Settings | None = None
    controls: dict[str, Any] = field(default_factory=dict)
    """As :func:`trainmon.adapters.offer_controls` has them."""

    def checkpoint_folder(self) -> Path:
        """Return where checkpoints go that the page asks for."""
        return Path(self.checkpoints).expanduser().absolute()
