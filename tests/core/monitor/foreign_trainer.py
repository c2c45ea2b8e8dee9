"""A training by other hands: the official grpcio client, and the original protocol's messages only.

No producer, no sequence, no MetricData. Run with the monitor's address; writes one JSON object a
line for everything it hears, and goes silent when it has been told to pause.
"""

from __future__ import annotations

import io
import json
import queue
import sys
import time
from collections.abc import Iterator

import grpc
from PIL import Image

from trainmon.v1 import telemetry_pb2 as pb
from trainmon_gateway.v1.telemetry_pb2_grpc import TelemetryServiceStub

BATCHES = 20


def say(**fields: object) -> None:
    """Write down one thing for the test to read."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def now_ms() -> int:
    """Return ms since the epoch."""
    return int(time.time() * 1000)


def tile(shade: int) -> pb.ImageData:
    """Return one picture as the original protocol's page makes it."""
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 0, 255 - shade)).save(out, "JPEG", quality=85)
    return pb.ImageData(image_bytes=out.getvalue(), format="jpeg", width=32, height=32, channels=3)


def batch(index: int) -> pb.BatchData:
    """Return a batch of 16 pictures with what was predicted and what was true."""
    return pb.BatchData(
        epoch=0,
        batch_index=index,
        global_step=index,
        batch_size=16,
        batch_loss=2.0 / (index + 1),
        images=[tile(index * 10)] * 16,
        predictions=[
            pb.Prediction(
                predicted_class=1,
                predicted_label="one",
                confidence=0.9,
                top_k_scores=[pb.ClassScore(class_index=1, label="one", score=0.9)],
            )
        ]
        * 16,
        ground_truth=[pb.GroundTruth(true_class=1, true_label="one")] * 16,
    )


def messages() -> list[pb.TelemetryRequest]:
    """Return what a short training sends."""
    rates = pb.PerformanceData(current_fps=60, average_fps=58, batch_time_ms=16)
    epoch = pb.EpochData(
        epoch=0,
        average_loss=0.5,
        validation_accuracy=0.9,
        learning_rate=0.01,
        convergence_status=pb.CONVERGENCE_STATUS_IMPROVING,
    )
    return [
        pb.TelemetryRequest(status_update=pb.StatusUpdate(status=pb.TRAINING_STATUS_RUNNING)),
        *(pb.TelemetryRequest(batch_data=batch(index)) for index in range(BATCHES)),
        pb.TelemetryRequest(performance_data=rates),
        pb.TelemetryRequest(epoch_data=epoch),
        pb.TelemetryRequest(heartbeat=pb.Heartbeat(timestamp_ms=now_ms(), sequence_number=10)),
    ]


def requests(session_id: str, waiting: queue.Queue[pb.TelemetryRequest]) -> Iterator[object]:
    """Yield requests for ever: at the end it is silent, as a hung process is."""
    while True:
        request = waiting.get()
        request.session_id = session_id
        request.timestamp_ms = now_ms()
        yield request


def main(address: str) -> None:
    """Train for a moment."""
    with grpc.insecure_channel(address) as channel:
        stub = TelemetryServiceStub(channel)
        answer = stub.RegisterTrainingSession(
            pb.RegisterTrainingSessionRequest(
                session_name="foreign", class_names=["zero", "one"], total_epochs=1
            )
        )
        say(registered=answer.session_id, max_images=answer.config.max_images)
        waiting: queue.Queue[pb.TelemetryRequest] = queue.Queue()
        for message in messages():
            waiting.put(message)
        responses = stub.StreamTelemetry(requests(answer.session_id, waiting))
        try:
            for response in responses:
                kind = response.WhichOneof("payload")
                if kind == "command":
                    say(command=response.command.WhichOneof("action"))
                    paused = pb.StatusUpdate(status=pb.TRAINING_STATUS_PAUSED)
                    waiting.put(pb.TelemetryRequest(status_update=paused))
                elif kind == "error":
                    say(error=pb.ErrorCode.Name(response.error.code))
                else:
                    say(heard=kind)
        except grpc.RpcError as error:
            say(ended=error.code().name)


if __name__ == "__main__":
    main(sys.argv[1])
