"""Moves the tail of a session into chunks by series, in steps that keep transactions short.

Level 0 of a series is sorted by step without overlap, whatever came in which order. What comes
late goes into the chunk it belongs to, and what was built above that chunk is built anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from sqlalchemy import Connection, delete, func, select, update

from trainmon.monitor.store.columns import Rows, join_rows
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.chunks import Series, drop_chunk, put_chunk
from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.pyramid import build_above, sound_rows, uncover
from trainmon.monitor.store.durable.tails import read_tail

__all__ = ["CHUNK_ROWS", "compact"]

#: Greatest number of rows in a chunk of level 0 that nothing came late for.
CHUNK_ROWS = 4096
#: A newest chunk with less is added to.
_OPEN_ROWS = CHUNK_ROWS // 2
#: Records, and their bytes, that stay in the tail though compacted: viewers resume through them.
_ECHO, _ECHO_BYTES = 256, 256 << 10
_DELETED_AT_ONCE = 500


class _Transaction(Protocol):
    @property
    def connection(self) -> Connection: ...

    @property
    def damage(self) -> Damage: ...


def compact(ledger: _Transaction, session: int, upto: int) -> Iterator[None]:
    """Move the records of a session up to a position into chunks; left where it may be committed.

    Args:
        ledger: Gives the connection in its transaction, another after each step.
        session: Whose.
        upto: The position.
    """
    table = schema.series
    known = ledger.connection.execute(
        select(table.c.pk, table.c.name, table.c.attempt, table.c.compacted).where(
            table.c.session == session, table.c.compacted < upto
        )
    ).all()
    if not known:
        return
    tail = read_tail(ledger.connection, session, known, ledger.damage, upto)
    for row in known:
        rows = tail.rows((row.name, row.attempt))
        if rows is not None:
            series = Series(row.pk, row.name, row.attempt)
            _add_rows(ledger.connection, series, rows, ledger.damage)
            _mark(ledger.connection, row.pk, upto)
            yield
    _finish(ledger.connection, session, upto)
    yield
    while _drop_tail(ledger.connection, session) == _DELETED_AT_ONCE:
        yield


def _mark(connection: Connection, series: int, upto: int) -> None:
    table = schema.series
    connection.execute(update(table).where(table.c.pk == series).values(compacted=upto))


def _finish(connection: Connection, session: int, upto: int) -> None:
    table = schema.series
    # A series made since then says already that nothing before is of it.
    chosen = (table.c.session == session) & (table.c.compacted < upto)
    connection.execute(update(table).where(chosen).values(compacted=upto))
    floor = _echo_floor(connection, session, upto)
    if floor is not None:
        sessions = schema.sessions
        connection.execute(update(sessions).where(sessions.c.pk == session).values(floor=floor))


def _echo_floor(connection: Connection, session: int, upto: int) -> int | None:
    """Return the newest position that viewers need not resume through; None: there is none."""
    tail = schema.tail
    newest = connection.execute(
        select(tail.c.position, func.length(tail.c.message))
        .where(tail.c.session == session, tail.c.position <= upto)
        .order_by(tail.c.position.desc())
        .limit(_ECHO + 1)
    )
    left = _ECHO_BYTES
    for number, (position, size) in enumerate(newest):
        left -= size
        if left < 0 or number == _ECHO:
            return int(position)
    return None


def _drop_tail(connection: Connection, session: int) -> int:
    tail, sessions = schema.tail, schema.sessions
    floor = connection.scalar(select(sessions.c.floor).where(sessions.c.pk == session))
    chosen = (tail.c.session == session) & (tail.c.position <= floor)
    last = connection.scalar(
        select(tail.c.position).where(chosen).order_by(tail.c.position).offset(_DELETED_AT_ONCE - 1)
    )
    if last is not None:
        chosen &= tail.c.position <= last
    return connection.execute(delete(tail).where(chosen)).rowcount


def _add_rows(connection: Connection, series: Series, rows: Rows, damage: Damage) -> None:
    """Add rows to level 0, in any order, and build above it."""
    if len(rows) > 1 and not bool((rows.steps[1:] >= rows.steps[:-1]).all()):
        rows = rows.select(np.argsort(rows.steps, kind="stable"))
    last = _last_chunk(connection, series.pk)
    if last is not None and rows.steps[0] < last.last_step:
        late = int(np.searchsorted(rows.steps, last.last_step, side="left"))
        _add_late(connection, series, rows.select(slice(0, late)), damage)
        rows = rows.select(slice(late, None))
        last = _last_chunk(connection, series.pk)
    _add_newest(connection, series, rows, last, damage)
    build_above(connection, series, _OPEN_ROWS, damage)


def _last_chunk(connection: Connection, series: int) -> Any:
    table = schema.chunks
    return connection.execute(
        select(table.c.number, table.c.last_step, table.c.row_count)
        .where(table.c.series == series, table.c.level == 0)
        .order_by(table.c.number.desc())
        .limit(1)
    ).first()


def _add_newest(
    connection: Connection, series: Series, rows: Rows, last: Any, damage: Damage
) -> None:
    if not len(rows):
        return
    number = 0 if last is None else last.number + 1
    if last is not None and last.row_count < _OPEN_ROWS:
        before = sound_rows(connection, series, 0, last.number, damage)
        if before is not None:  # a damaged one stays as it is
            number = last.number
            rows = join_rows([before, rows])
            drop_chunk(connection, series, 0, number)
    for start in range(0, len(rows), CHUNK_ROWS):
        piece = rows.select(slice(start, start + CHUNK_ROWS))
        put_chunk(connection, series, 0, number, piece)
        number += 1


def _add_late(connection: Connection, series: Series, rows: Rows, damage: Damage) -> None:
    """Put rows among those that came before them."""
    table = schema.chunks
    found = connection.execute(
        select(table.c.number, table.c.first_step)
        .where(table.c.series == series.pk, table.c.level == 0)
        .order_by(table.c.number)
    ).all()
    firsts = np.array([row.first_step for row in found])
    # What equals a first step goes behind it: of one step, the order of arrival stays.
    places = np.maximum(np.searchsorted(firsts, rows.steps, side="right") - 1, 0)
    for place in np.unique(places):
        number = found[int(place)].number
        more = rows.select(np.flatnonzero(places == place))
        before = sound_rows(connection, series, 0, number, damage)
        both = more if before is None else join_rows([before, more])
        both = both.select(np.argsort(both.steps, kind="stable"))
        uncover(connection, series, number)
        drop_chunk(connection, series, 0, number)
        put_chunk(connection, series, 0, number, both)
