"""Deletes what was forgotten, in steps that hold up nobody, and gives the room back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.segments import Segments

__all__ = ["purge"]

#: Rows deleted in one step: of chunks, which are large, and of the others.
_LARGE, _SMALL = 50, 1000


class _Transaction(Protocol):
    @property
    def connection(self) -> Connection: ...


def purge(
    ledger: _Transaction, segments: Segments, free: Callable[[Connection], bool]
) -> Iterator[None]:
    """Delete every session that was forgotten; left where it may be committed.

    Args:
        ledger: Gives the connection in its transaction, another after each step.
        segments: The files of their pictures.
        free: Gives room back to the file system; returns whether there is more.
    """
    table = schema.sessions
    gone = list(ledger.connection.scalars(select(table.c.pk).where(table.c.forgotten)))
    for session in gone:
        yield from _purge_rows(ledger, session)
        segments.drop(session)
        ledger.connection.execute(delete(table).where(table.c.pk == session))
        yield
    while free(ledger.connection):
        yield


def _purge_rows(ledger: _Transaction, session: int) -> Iterator[None]:
    series = schema.series
    for pk in list(
        ledger.connection.scalars(select(series.c.pk).where(series.c.session == session))
    ):
        chunks = schema.chunks
        while _delete_some(ledger.connection, chunks, chunks.c.series == pk, _LARGE):
            yield
    for each in (schema.tail, schema.facts, schema.frames, schema.albums, schema.producers, series):
        while _delete_some(ledger.connection, each, each.c.session == session, _SMALL):
            yield


def _delete_some(
    connection: Connection, table: Table, chosen: ColumnElement[bool], limit: int
) -> bool:
    """Delete rows, at most so many; return whether there were any."""
    last = next(reversed(list(table.primary_key.columns)))
    found = list(connection.scalars(select(last).where(chosen).order_by(last).limit(limit)))
    if not found:
        return False
    # Rows of one session that share the last part of their key go together.
    connection.execute(delete(table).where(chosen, last <= found[-1]))
    return True
