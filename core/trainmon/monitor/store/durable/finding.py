"""Finds the rows of a session by its name."""

from __future__ import annotations

from sqlalchemy import Connection, select

from trainmon.monitor.store.durable import schema

__all__ = ["find_session"]


def find_session(connection: Connection, session_id: str) -> int | None:
    """Return the key of a session's rows; None where there is none."""
    table = schema.sessions
    return connection.scalar(select(table.c.pk).where(table.c.session_id == session_id))
