"""A remedy for the HTTP/2 library, for every process of ours that receives pictures over gRPC."""

from __future__ import annotations

from hyperframe.frame import DataFrame

__all__ = ["spare_frame_reprs"]


def spare_frame_reprs() -> None:
    """Keep h2 from writing every received byte as hexadecimal digits that nobody reads.

    h2 builds ``repr(frame)`` of each frame it receives, for a log that is off, and hyperframe
    turns the whole body into hexadecimal before it cuts it to 20 digits: a fifth of the CPU of a
    monitor that takes in pictures. Afterwards a data frame's repr tells its length. Process-wide.
    """
    DataFrame._body_repr = _length_only  # type: ignore[assignment]  # noqa: SLF001 - see above


def _length_only(frame: DataFrame) -> str:
    return f"<{len(frame.data)} bytes>"
