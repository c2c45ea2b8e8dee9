"""A viewer that looks at what it gets; obeys common.orders.

An order ``{"address", "session_id", "rate", "edge", "pictures"}`` opens a stream and is answered
with ``{"watching": true}`` at the first picture, or event where there are no ``pictures``. Any
order after it ends the stream and is answered with the steps of the pictures that came, those of
pictures in which another step or none is drawn, and the edges of the tiles.
"""

from __future__ import annotations

import io
import threading
from typing import Any

import grpc
import numpy as np
from PIL import Image

from common.orders import Orders
from common.pictures import read
from trainmon.v1.dashboard_pb2 import WatchSessionRequest, WatchSessionResponse
from trainmon.v1.telemetry_pb2 import BatchData
from trainmon_gateway.v1.dashboard_pb2_grpc import DashboardServiceStub


class Seen:
    """What one stream brought."""

    def __init__(self, *, pictures: bool) -> None:
        self._pictures = pictures
        self.steps: list[int] = []
        self.wrong: list[int] = []
        self.edges: set[int] = set()
        self.bytes = 0
        self.first = threading.Event()

    def event(self, event: WatchSessionResponse) -> None:
        """Take an event."""
        if event.HasField("batch_data") and event.batch_data.images:
            self._look(event.batch_data)
        elif self._pictures:
            return
        self.first.set()

    def _look(self, batch: BatchData) -> None:
        """Look at a picture; of its tiles the first is decoded."""
        tile = batch.images[0]
        picture = np.asarray(Image.open(io.BytesIO(tile.image_bytes)).convert("RGB"))
        self.steps.append(batch.global_step)
        if read(picture) != batch.global_step & 0xFFFFFF:
            self.wrong.append(batch.global_step)
        self.edges.add(tile.width)
        self.bytes += sum(len(each.image_bytes) for each in batch.images)


def watch(orders: Orders, order: dict[str, Any]) -> None:
    """Watch one session."""
    options = [("grpc.max_receive_message_length", -1)]
    seen = Seen(pictures=order["pictures"])
    with grpc.insecure_channel(order["address"], options=options) as channel:
        stream = DashboardServiceStub(channel).WatchSession(
            WatchSessionRequest(
                session_id=order["session_id"],
                frames_per_second=order["rate"],
                tile_size=order["edge"],
            )
        )
        reading = threading.Thread(target=_read, args=(stream, seen))
        reading.start()
        try:
            if not seen.first.wait(20):
                raise TimeoutError("no picture came in 20 s")
            orders.answer(watching=True)
            orders.next()
        finally:
            stream.cancel()
            reading.join()
    orders.answer(
        steps=seen.steps, wrong=seen.wrong, edges=sorted(seen.edges), bytes=seen.bytes
    )  # fmt: skip


def _read(stream: Any, seen: Seen) -> None:
    try:
        for event in stream:
            seen.event(event)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.CANCELLED:
            raise


def main() -> None:
    """Obey."""
    orders = Orders()
    for order in orders:
        watch(orders, order)


if __name__ == "__main__":
    main()
