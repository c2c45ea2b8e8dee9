"""Steps to series: the scalars of many steps in one message."""

from __future__ import annotations

from trainmon import wire
from trainmon.channel import StepRecord
from trainmon.v1.telemetry_pb2 import MetricData, MetricSeries

__all__ = ["LOSS", "Scalars"]

LOSS = "loss"
#: Rows in one message at most, and bytes of names: below 64 KiB, which every monitor takes.
_MAX_ROWS = 2048
_MAX_NAME_BYTES = 1 << 13


class Scalars:
    """Gathers rows until :meth:`flush`."""

    def __init__(self) -> None:
        self._columns: dict[tuple[str, int], wire.Columns] = {}
        self.rows = 0
        """Rows gathered since the last flush."""

    @property
    def full(self) -> bool:
        """Whether one message is filled."""
        return self.rows >= _MAX_ROWS

    def add(self, step: StepRecord) -> None:
        """Take in the loss and the metrics of a step."""
        if step.loss is not None:
            self._add(LOSS, step, step.loss)
        for name, value in step.metrics.items():
            self._add(name, step, value)

    def _add(self, name: str, step: StepRecord, value: float) -> None:
        columns = self._columns.get((name, step.attempt))
        if columns is None:
            columns = self._columns[name, step.attempt] = wire.Columns()
        columns.steps.append(step.global_step)
        columns.times.append(step.time_ms)
        columns.values.append(value)
        self.rows += 1

    def flush(self) -> list[MetricData]:
        """Return what was gathered, as one message or, where names or rows abound, a few."""
        messages: list[MetricData] = []
        part: list[MetricSeries] = []
        rows = name_bytes = 0
        for (name, attempt), columns in self._columns.items():
            if part and (rows >= _MAX_ROWS or name_bytes >= _MAX_NAME_BYTES):
                messages.append(wire.metric_data(part))
                part, rows, name_bytes = [], 0, 0
            part.append(wire.metric_series(name, attempt, columns))
            rows += len(columns.steps)
            name_bytes += len(name)
        if part:
            messages.append(wire.metric_data(part))
        self._columns.clear()
        self.rows = 0
        return messages
