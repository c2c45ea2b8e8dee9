"""The pictures of every run: indexed in the database, thinned evenly when they are too many.

The rule is that of :class:`KeyFrames`: of every ``stride`` that came one stays, and the newest;
when a run has more bytes than it may, its stride doubles. When all runs together have more, the
oldest that have ended are thinned first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.segments import Place, Segments
from trainmon.v1.telemetry_pb2 import BatchData

__all__ = ["Pictures", "nearest_frames", "newest_frame", "place_of"]

#: A segment file is not appended to beyond this size, nor beyond a part of what a run may have.
_SEGMENT_BYTES, _PARTS = 16 << 20, 8
#: Steps of the index have 63 bits; what is beyond stands at their end.
_MAX_STEP = 2**63 - 1

_frames, _albums = schema.frames, schema.albums
_log = logging.getLogger(__name__)


class _Transaction(Protocol):
    @property
    def connection(self) -> Connection: ...


@dataclass
class Album:
    """What is at hand of the pictures of one run."""

    session: int
    stride: int = 1
    added: int = 0
    nbytes: int = 0
    newest: int | None = None
    """Ordinal of the newest."""
    segment: int = 0
    end: int = 0
    """Where the next picture goes."""


class Pictures:
    """The writing side of the pictures.

    Args:
        segments: The files.
        run_bytes: What one run may have.
        all_bytes: What all runs may have together.
    """

    def __init__(self, segments: Segments, run_bytes: int, all_bytes: int) -> None:
        self.segments = segments
        self._run_bytes = run_bytes
        self._all_bytes = all_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, run_bytes // _PARTS)

    def add(self, connection: Connection, session: int, batch: BatchData) -> bool:
        """Keep a picture.

        Returns:
            Whether room can be freed: pictures went, or all together are too many.

        Raises:
            OSError: It cannot be written.
        """
        album = read_album(connection, session)
        if album.newest is not None and album.newest % album.stride:
            _drop(connection, album, _frames.c.ordinal == album.newest)
        step, attempt = min(batch.global_step, _MAX_STEP), batch.attempt
        _drop(connection, album, (_frames.c.step == step) & (_frames.c.attempt == attempt))
        place = self._write(album, batch.SerializeToString())
        connection.execute(
            insert(_frames).values(
                session=album.session,
                step=step,
                attempt=attempt,
                ordinal=album.added,
                segment=place.segment,
                start=place.start,
                length=place.length,
                checksum=place.checksum,
            )
        )
        album.newest = album.added
        album.added += 1
        album.nbytes += place.length
        thinned = False
        while album.nbytes > self._run_bytes and _thin(connection, album):
            thinned = True
        _save(connection, album)
        return thinned or self._are_too_many(connection)

    def make_room(self, ledger: _Transaction, session: int) -> Iterator[None]:
        """Thin what is to go first while all pictures are too many, and free the room.

        Args:
            ledger: Gives the connection in its transaction, another after each step.
            session: One that was thinned already.
        """
        yield from self._tidy(ledger, session)
        while self._are_too_many(ledger.connection):
            chosen = _first_to_go(ledger.connection)
            if chosen is None:
                return
            album = read_album(ledger.connection, chosen)
            _thin(ledger.connection, album)
            _save(ledger.connection, album)
            yield
            yield from self._tidy(ledger, chosen)

    def sweep(self, ledger: _Transaction) -> Iterator[None]:
        """Free what a crash left behind: files and ends of files that no index knows."""
        for session in self.segments.sessions():
            yield from self._tidy(ledger, session)
            yield

    def _are_too_many(self, connection: Connection) -> bool:
        return int(connection.scalar(select(func.sum(_albums.c.bytes))) or 0) > self._all_bytes

    def _tidy(self, ledger: _Transaction, session: int) -> Iterator[None]:
        """Free the room of what was thinned; left where it may be committed."""
        album = read_album(ledger.connection, session)
        wasted = _wasted(ledger.connection, album, self._segment_bytes // 2)
        for segment in wasted:
            album = read_album(ledger.connection, session)
            self._move(ledger.connection, album, segment)
            yield
        # Only now, when the index that knows the new places is committed.
        used = select(_frames.c.segment).where(_frames.c.session == session).distinct()
        segments = set(ledger.connection.scalars(used))
        self.segments.keep_only(session, segments)
        if segments:
            album = read_album(ledger.connection, session)
            self.segments.cut(session, album.segment, album.end)

    def _move(self, connection: Connection, album: Album, segment: int) -> None:
        chosen = (_frames.c.session == album.session) & (_frames.c.segment == segment)
        for row in connection.execute(select(_frames).where(chosen)).all():
            this = (_frames.c.session == album.session) & (_frames.c.ordinal == row.ordinal)
            try:
                data = self.segments.read(album.session, place_of(row))
            except ValueError as error:
                _log.warning("a picture of session row %d was dropped: %s", album.session, error)
                _drop(connection, album, this)
                continue
            place = self._write(album, data)
            moved = {"segment": place.segment, "start": place.start}
            connection.execute(update(_frames).where(this).values(moved))
        _save(connection, album)

    def drop_damaged(
        self, connection: Connection, session: int, ordinal: int, place: Place
    ) -> None:
        """Drop a picture that cannot be read, if it is still where it was."""
        chosen = (
            (_frames.c.ordinal == ordinal)
            & (_frames.c.segment == place.segment)
            & (_frames.c.start == place.start)
        )
        album = read_album(connection, session)
        _drop(connection, album, chosen)
        _save(connection, album)

    def _write(self, album: Album, data: bytes) -> Place:
        if album.end >= self._segment_bytes:
            album.segment, album.end = album.segment + 1, 0
        place = self.segments.write(album.session, album.segment, album.end, data)
        album.end = place.end
        return place


def _thin(connection: Connection, album: Album) -> bool:
    """Drop about every second picture of a run; return whether there was any to drop."""
    newest = _frames.c.ordinal == album.newest
    while album.stride <= album.added:
        album.stride *= 2
        if _drop(connection, album, (_frames.c.ordinal % album.stride != 0) & ~newest):
            return True
    return bool(_drop(connection, album, ~newest))


def _first_to_go(connection: Connection) -> int | None:
    """Return the run whose pictures are thinned next: the oldest ended one that has several."""
    runs = schema.sessions
    many = select(_frames.c.session).group_by(_frames.c.session).having(func.count() > 1)
    return connection.scalar(
        select(runs.c.pk)
        .where(runs.c.pk.in_(many))
        .order_by(runs.c.ended_ms.is_(None), runs.c.started_ms, runs.c.pk)
        .limit(1)
    )


def _wasted(connection: Connection, album: Album, least_bytes: int) -> list[int]:
    """Return the segments of which little is left, but for the newest."""
    live = func.sum(_frames.c.length)
    found = connection.execute(
        select(_frames.c.segment)
        .where(_frames.c.session == album.session, _frames.c.segment < album.segment)
        .group_by(_frames.c.segment)
        .having(live < least_bytes)
        .order_by(_frames.c.segment)
    )
    return list(found.scalars())


def _drop(connection: Connection, album: Album, chosen: ColumnElement[bool]) -> int:
    mine = (_frames.c.session == album.session) & chosen
    nbytes = connection.scalar(select(func.sum(_frames.c.length)).where(mine))
    if nbytes is None:
        return 0
    album.nbytes -= int(nbytes)
    return connection.execute(delete(_frames).where(mine)).rowcount


def _save(connection: Connection, album: Album) -> None:
    values = {"stride": album.stride, "added": album.added, "bytes": album.nbytes}
    chosen = update(_albums).where(_albums.c.session == album.session)
    if connection.execute(chosen.values(values)).rowcount == 0:
        connection.execute(insert(_albums).values(session=album.session, **values))


def read_album(connection: Connection, session: int) -> Album:
    """Return what the database says of a run's pictures."""
    mine = _frames.c.session == session
    known = connection.execute(select(_albums).where(_albums.c.session == session)).first()
    last = connection.execute(
        select(_frames)
        .where(mine)
        .order_by(_frames.c.segment.desc(), _frames.c.start.desc())
        .limit(1)
    ).first()
    album = Album(session)
    if known is not None:
        album.stride, album.added, album.nbytes = known.stride, known.added, known.bytes
    if last is not None:
        place = place_of(last)
        album.segment, album.end = place.segment, place.end
        album.newest = connection.scalar(select(func.max(_frames.c.ordinal)).where(mine))
    return album


def place_of(row: Any) -> Place:
    """Return where a row of the index says that its picture lies."""
    return Place(row.segment, row.start, row.length, row.checksum)


def nearest_frames(connection: Connection, session: int, step: int) -> list[Any]:
    """Return the rows of the index at the nearest steps below and above, the best first."""
    mine = select(_frames).where(_frames.c.session == session)
    asked = min(step, _MAX_STEP)
    below = mine.where(_frames.c.step <= asked).order_by(
        _frames.c.step.desc(), _frames.c.attempt.desc()
    )
    above = mine.where(_frames.c.step > asked).order_by(_frames.c.step, _frames.c.attempt.desc())
    found = [connection.execute(each.limit(1)).first() for each in (below, above)]
    return sorted(
        (row for row in found if row is not None),
        key=lambda row: (abs(row.step - asked), -row.attempt, row.step),
    )


def newest_frame(connection: Connection, session: int) -> Any:
    """Return the row of the newest picture; None where there is none."""
    newest = select(_frames).where(_frames.c.session == session).order_by(_frames.c.ordinal.desc())
    return connection.execute(newest.limit(1)).first()
