"""Reads pictures back."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from sqlalchemy import Connection

from trainmon.monitor.store.durable.finding import find_session
from trainmon.monitor.store.durable.pictures import nearest_frames, newest_frame, place_of
from trainmon.monitor.store.durable.segments import Place, Segments
from trainmon.v1.telemetry_pb2 import BatchData

__all__ = ["DamagedPicture", "PictureReader"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DamagedPicture:
    """A picture that cannot be read from where the index says it lies."""

    session: int
    ordinal: int
    place: Place


class PictureReader:
    """Reads pictures.

    Args:
        segments: The files.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    def nearest(
        self, connection: Connection, session_id: str, step: int
    ) -> BatchData | DamagedPicture | None:
        """Return the picture nearest a step; or what must go first, or None."""
        session = find_session(connection, session_id)
        if session is None:
            return None
        rows = nearest_frames(connection, session, step)
        return self._load(session, rows[0]) if rows else None

    def newest(self, connection: Connection, session: int) -> BatchData | None:
        """Return the picture that came last; None where there is none that can be read."""
        row = newest_frame(connection, session)
        found = self._load(session, row) if row is not None else None
        return found if isinstance(found, BatchData) else None

    def _load(self, session: int, row: Any) -> BatchData | DamagedPicture:
        place = place_of(row)
        try:
            return BatchData.FromString(self._segments.read(session, place))
        except (OSError, ValueError, DecodeError) as error:
            _log.warning("the picture of step %d was left out: %s", row.step, error)
            return DamagedPicture(session, row.ordinal, place)
