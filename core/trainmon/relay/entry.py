"""One record that is to reach the monitor for certain."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum

from trainmon.relay.merging import rows_in
from trainmon.v1.telemetry_pb2 import MetricData, TelemetryRequest

__all__ = ["Entry", "RecordKind", "losses_in", "metrics_of"]

#: What an entry costs beside its message, in bytes.
_ENTRY_BYTES = 200


class RecordKind(Enum):
    """What a record is; the value names it in LossCount.kind."""

    SCALARS = "scalars"
    KEY_FRAME = "key_frame"
    EPOCH = "epoch"
    STATUS = "status"
    RESULT = "command_result"


@dataclass(eq=False)
class Entry:
    """One record: its message, serialised, without session and sequence."""

    kind: RecordKind
    message: bytes
    last: bool = False
    """The state after which nothing comes."""
    number: int = 0
    """Counts a producer's records, from 1, and never changes."""
    sequence: int = 0
    """Under which it is sent; see :class:`trainmon.relay.outbox.Outbox`. 0: it was not yet."""

    @property
    def size(self) -> int:
        """Bytes of memory it takes."""
        return sys.getsizeof(self.message) + _ENTRY_BYTES


def metrics_of(entry: Entry) -> MetricData:
    """Return the scalars an entry holds."""
    return TelemetryRequest.FromString(entry.message).metric_data


def losses_in(entry: Entry) -> int:
    """Return what is counted where an entry is lost: of scalars each row."""
    return rows_in(metrics_of(entry)) if entry.kind is RecordKind.SCALARS else 1
