"""How a database of any earlier schema becomes one of the newest, and what is refused.

Each migration runs in one transaction with the row that says it has: killed in the middle, it has
not happened. A migration is never changed once it was released. While a table is as its migration
made it, the migration names the table; who changes a table gives the old form to the migrations
that use it.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Table, delete, insert, inspect, select

from trainmon.errors import TrainmonError
from trainmon.monitor.store.durable import schema

__all__ = ["MIGRATIONS", "NEWEST", "Migration", "NewerSchemaError", "migrate", "schema_version"]

Migration = Callable[[Connection], None]

_VERSION = "schema_version"


class NewerSchemaError(TrainmonError):
    """A newer trainmon made this database. Nothing in it was touched.

    Args:
        where: The database.
        found: Its version.
    """

    def __init__(self, where: str, found: int) -> None:
        self.where = where
        self.found = found
        super().__init__(
            f"the history in {where} has schema version {found}, this trainmon knows versions up "
            f"to {NEWEST}: it was left as it is. Install the trainmon that wrote it or a later "
            "one, or set TRAINMON_STORE to another folder (sqlite:FOLDER)"
        )


def schema_version(connection: Connection) -> int:
    """Return the version of a database; 0: nothing has been made in it yet."""
    if not inspect(connection).has_table(schema.meta.name):
        return 0
    found = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == _VERSION))
    return int(found or 0)


def migrate(
    connection: Connection, where: str, on_migrated: Callable[[Connection, int], None]
) -> None:
    """Bring a database to the newest schema, one transaction for each version.

    Args:
        connection: In no transaction; each migration has its own.
        where: The database, for messages.
        on_migrated: Called in each of the transactions with the version it makes.

    Raises:
        NewerSchemaError: It is newer than the newest.
    """
    with connection.begin():
        version = schema_version(connection)
    if version > NEWEST:
        raise NewerSchemaError(where, version)
    for number in range(version + 1, NEWEST + 1):
        with connection.begin():
            MIGRATIONS[number - 1](connection)
            connection.execute(delete(schema.meta).where(schema.meta.c.key == _VERSION))
            connection.execute(insert(schema.meta).values(key=_VERSION, value=str(number)))
            on_migrated(connection, number)


def _making(*tables: Table) -> Migration:
    def make(connection: Connection) -> None:
        for table in tables:
            table.create(connection)

    return make


#: From version 1 on.
MIGRATIONS: tuple[Migration, ...] = (
    _making(
        schema.meta, schema.sessions, schema.producers, schema.tail, schema.series, schema.chunks
    ),
    _making(schema.facts, schema.albums, schema.frames),
)
#: The schema this trainmon writes.
NEWEST = len(MIGRATIONS)
