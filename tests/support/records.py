"""Records as a relay keeps them, and turns of an outbox that keeps them."""

from __future__ import annotations

from trainmon.relay.entry import Entry, RecordKind
from trainmon.relay.outbox import Outbox
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    EpochData,
    ImageData,
    MetricData,
    MetricSeries,
    TelemetryRequest,
)


def scalars(first: int, rows: int = 100) -> TelemetryRequest:
    """Return rows from a step on, each with its step as value."""
    steps = [float(step) for step in range(first, first + rows)]
    series = MetricSeries(name="loss", steps=steps, times=steps, values=steps)
    return TelemetryRequest(metric_data=MetricData(series=[series]))


def epoch(number: int) -> TelemetryRequest:
    """Return the end of an epoch."""
    return TelemetryRequest(epoch_data=EpochData(epoch=number))


def key_frame(step: int, size: int = 5000) -> TelemetryRequest:
    """Return a key frame of so many bytes."""
    images = [ImageData(image_bytes=bytes(size))]
    return TelemetryRequest(batch_data=BatchData(global_step=step, images=images))


def commit(outbox: Outbox) -> None:
    """End a turn."""
    outbox.commit(0, lambda: b"{}")


def epochs(outbox: Outbox, *numbers: int) -> None:
    """Keep the ends of epochs, each in a turn of its own."""
    for number in numbers:
        outbox.add(RecordKind.EPOCH, epoch(number))
        commit(outbox)


def request_of(entry: Entry) -> TelemetryRequest:
    """Return what a record says."""
    return TelemetryRequest.FromString(entry.message)


def sent(outbox: Outbox) -> list[tuple[int, TelemetryRequest]]:
    """Return all there is to send, with the sequences, acknowledging as it goes."""
    found = []
    while (entry := outbox.next()) is not None:
        found.append((entry.sequence, request_of(entry)))
        outbox.acknowledge(entry.sequence)
    return found
