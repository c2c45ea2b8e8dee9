"""What a relay leaves to the one that follows it, beside records: in each frame of the spool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field

from trainmon.relay.epochs import EpochMarks

__all__ = ["Handover"]


@dataclass(frozen=True)
class Handover:
    """What was known when a frame was written."""

    epochs: EpochMarks | None = None
    """Of the steps in that frame and all before; None: it was lost."""
    over: bool = False
    """Whether the last state of the run is among the records."""
    losses: Mapping[str, int] = field(default_factory=dict)
    """See :meth:`trainmon.relay.losses.LossCounter.saved`."""

    def pack(self) -> bytes:
        """Return it as bytes."""
        epochs = None if self.epochs is None else astuple(self.epochs)
        fields = {"epochs": epochs, "over": self.over, "losses": dict(self.losses)}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Handover:
        """Return what bytes hold; what cannot be read is lost."""
        try:
            fields = json.loads(data)
            epochs = fields.get("epochs")
            if epochs is not None:
                epoch, total, count, whole, training, validation = epochs
                epochs = EpochMarks(epoch, total, count, whole, tuple(training), tuple(validation))
            return cls(epochs, bool(fields.get("over")), dict(fields.get("losses") or {}))
        except (ValueError, TypeError, AttributeError):
            return cls()
