"""Watching a training to its end, as a page that wants every picture does."""

from __future__ import annotations

import threading
from contextlib import suppress

import grpc

from trainmon.cli.children import Child
from viewer import Viewer

__all__ = ["watch_to_the_end"]


def watch_to_the_end(
    seen: Viewer, session_id: str, training: Child, patience_s: float
) -> list[int]:
    """Ask for 60 frames a second until a training has ended well; return the steps that came."""
    steps: list[int] = []
    stream = seen.watch(session_id, frames_per_second=60, tile_size=128)

    def read() -> None:
        with suppress(grpc.RpcError):  # the stream was cancelled
            steps.extend(e.batch_data.global_step for e in stream if e.HasField("batch_data"))

    thread = threading.Thread(target=read, name="watching")
    thread.start()
    try:
        assert training.wait(patience_s) == 0
    finally:
        stream.cancel()  # type: ignore[attr-defined] # a grpc call, which is an iterator too
        thread.join()
    return steps
