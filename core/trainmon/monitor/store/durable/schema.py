"""The tables of the durable store, as the newest schema has them.

How they came to be, version by version, is in ``migrations``. What is kept of a run is the wire's
own message wherever there is one; beside it stands what is searched by.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

__all__ = ["albums", "chunks", "facts", "frames", "meta", "producers", "series", "sessions", "tail"]

metadata = MetaData()

#: What is said of the whole store, by key: its identity, the schema's version, how often opened.
meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", String))

#: One row for each run. ``position`` counts what was kept of it: each record and each fact has one.
sessions = Table(
    "sessions",
    metadata,
    Column("pk", Integer, primary_key=True),
    Column("session_id", String, nullable=False, unique=True),
    Column("run_key", String, nullable=False),
    Column("incarnation", String, nullable=False),
    Column("forgotten", Boolean, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("snapshot", LargeBinary),
    Column("registration", LargeBinary),
)

#: The processes of a run. ``stored`` and ``missing`` are decimal: they have 64 bits without a sign.
producers = Table(
    "producers",
    metadata,
    Column("session", Integer, primary_key=True),
    Column("producer_id", String, primary_key=True),
    Column("stored", String),
    Column("missing", String, nullable=False),
    Column("place", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("hostname", String, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("sends_metric_data", Boolean, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("trainer", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: Records as they came, until they are compacted, and the newest a little longer.
tail = Table(
    "tail",
    metadata,
    Column("session", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("row_count", Integer, nullable=False),
    Column("message", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: Each series of each attempt. Records up to ``compacted`` are in its chunks.
series = Table(
    "series",
    metadata,
    Column("pk", Integer, primary_key=True),
    Column("session", Integer, nullable=False),
    Column("name", String, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("compacted", BigInteger, nullable=False),
    UniqueConstraint("session", "name", "attempt"),
)

#: Rows of a series by step: level 0 as they came, each level above sixteen rows of the one below.
#: ``covered``: its rows are in a chunk of the level above too.
chunks = Table(
    "chunks",
    metadata,
    Column("pk", Integer, primary_key=True),
    Column("series", Integer, nullable=False),
    Column("level", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("covered", Boolean, nullable=False),
    Column("children", Integer, nullable=False),
    Column("first_step", Float(53), nullable=False),
    Column("last_step", Float(53), nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("count", Float(53), nullable=False),
    Column("minimum", Float(53)),
    Column("maximum", Float(53)),
    Column("total", Float(53)),
    Column("message", LargeBinary, nullable=False),
    UniqueConstraint("series", "level", "number"),
)
Index(
    "chunks_by_step",
    chunks.c.series,
    chunks.c.level,
    chunks.c.covered,
    chunks.c.first_step,
    chunks.c.last_step,
    chunks.c.row_count,
    chunks.c.number,
)

#: What is kept for ever: epochs, states, commands, errors. One row for each kind and name.
facts = Table(
    "facts",
    metadata,
    Column("session", Integer, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("born", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("message", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
Index("facts_by_position", facts.c.session, facts.c.position)

#: The pictures of a run, all together: of every ``stride`` that came one stays.
albums = Table(
    "albums",
    metadata,
    Column("session", Integer, primary_key=True),
    Column("stride", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

#: Where each picture lies in the segment files.
frames = Table(
    "frames",
    metadata,
    Column("session", Integer, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("attempt", BigInteger, primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("segment", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
