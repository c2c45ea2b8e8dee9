"""What is written: records, sessions and facts, in the transaction that is open.

Only the writing thread comes here. What it knows of a session it reads once and keeps; where a
transaction fails, all of that is read anew.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, CursorResult, bindparam, func, insert, select, update

from trainmon.monitor.sequences import Sequences
from trainmon.monitor.store.base import Appended, ProducerRecord, Record, SessionRecord
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.compaction import compact
from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.finding import find_session
from trainmon.monitor.store.durable.loading import COMMAND, EPOCH, ERROR, STATUS
from trainmon.monitor.store.durable.pictures import Pictures
from trainmon.monitor.store.durable.purging import purge
from trainmon.monitor.store.durable.viewing import DamagedPicture
from trainmon.monitor.store.durable.writer import Chore
from trainmon.monitor.store.memory import MAX_SERIES
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.telemetry_pb2 import ErrorResponse, MetricData

__all__ = ["HistoryLedger"]

#: When the tail of a session is compacted: rows of its longest series, records, bytes.
COMPACT_ROWS, COMPACT_RECORDS, COMPACT_BYTES = 4096, 2048, 16 << 20
#: Sessions whose state the writing thread keeps at hand.
_REMEMBERED = 4096

_ADD_TAIL = insert(schema.tail)
_MOVE_SESSION = (
    update(schema.sessions)
    .where(schema.sessions.c.pk == bindparam("of_session"))
    .values(position=bindparam("now_at"))
)
_NUMBER_PRODUCER = (
    update(schema.producers)
    .where(
        schema.producers.c.session == bindparam("of_session"),
        schema.producers.c.producer_id == bindparam("of_producer"),
    )
    .values(stored=bindparam("now_stored"), missing=bindparam("now_missing"))
)


@dataclass
class Run:
    """What is at hand of one session."""

    pk: int
    position: int
    series: dict[tuple[str, int], int]
    rows: int = 0
    """In the tail, of the longest series of each record."""
    records: int = 0
    bytes: int = 0
    compacting: bool = False
    sequences: dict[str, Sequences] = field(default_factory=dict)
    numbered: set[str] = field(default_factory=set)
    """Producers whose numbers have moved in this transaction."""

    @property
    def is_due(self) -> bool:
        """Whether its tail is long enough to be compacted."""
        return (
            self.rows >= COMPACT_ROWS
            or self.records >= COMPACT_RECORDS
            or self.bytes >= COMPACT_BYTES
        )

    def step(self) -> int:
        """Return the position of the next thing that is kept."""
        self.position += 1
        return self.position


class HistoryLedger:
    """The writing side of the durable store.

    Args:
        pictures: Where pictures go.
        free: Gives a little of the room of deleted rows back to the file system; returns whether
            there is more.
        damage: Hears of rows that cannot be read.
    """

    def __init__(
        self, pictures: Pictures, free: Callable[[Connection], bool], damage: Damage
    ) -> None:
        self._free = free
        self.damage = damage
        self.chores: deque[Chore] = deque()
        self._pictures = pictures
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._touched: dict[int, Run] = {}
        self._tail: list[dict[str, Any]] = []
        self._making_room: set[int] = set()
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection, in the transaction that is open."""
        if self._connection is None:
            raise RuntimeError("the ledger is used outside a transaction")
        return self._connection

    # The transaction.

    def begin(self, connection: Connection) -> None:
        """A transaction began."""
        self._connection = connection

    def flush(self) -> None:
        """Write what was only noted."""
        if self._tail:
            self.connection.execute(_ADD_TAIL, self._tail)
            self._tail = []
        if self._touched:
            touched, self._touched = self._touched, {}
            moved = [{"of_session": run.pk, "now_at": run.position} for run in touched.values()]
            self.connection.execute(_MOVE_SESSION, moved)
            numbered = [row for run in touched.values() for row in _numbers_of(run)]
            if numbered:
                self.connection.execute(_NUMBER_PRODUCER, numbered)
        while len(self._runs) > _REMEMBERED:
            self._runs.popitem(last=False)

    def rolled_back(self) -> None:
        """Forget everything at hand: it may have been changed by what did not happen."""
        self._tail = []
        self._making_room.clear()
        self._touched.clear()
        self._runs.clear()

    # Records.

    def append(self, session_id: str, record: Record) -> Appended:
        """Keep a record, unless it is kept already."""
        run = self._run(session_id)
        dropped = self._number(run, record)
        if dropped is not None:
            return dropped
        position = run.step()
        self._touched[run.pk] = run
        refused = self._keep_scalars(run, record, position)
        if record.epoch is not None:
            name = f"{record.epoch.attempt}/{record.epoch.epoch}"
            self._put_fact(run, EPOCH, name, position, record.epoch.SerializeToString())
        if record.status is not None:
            self._put_fact(run, STATUS, str(position), position, record.status.SerializeToString())
        if record.key_frame is not None:
            too_many = self._pictures.add(self.connection, run.pk, record.key_frame)
            if too_many and run.pk not in self._making_room:
                self._making_room.add(run.pk)
                self.chores.append(self._make_room(run.pk))
        if record.command is not None:
            name = record.command.command.command_id
            self._put_fact(run, COMMAND, name, position, record.command.SerializeToString())
        if record.session is not None:
            self.put_session(record.session)
        if run.is_due and not run.compacting:
            run.compacting = True
            self.chores.append(self._compact(session_id, run))
        return Appended(refused, position)

    def _number(self, run: Run, record: Record) -> Appended | None:
        """Count a record by its number; return what is told where it is not to be kept."""
        if record.sequence is None:
            return None
        numbers = self._numbers(run, record.producer_id)
        if numbers.is_duplicate(record.sequence):
            return Appended()
        if numbers.overlaps(record.sequence, record.joined):
            return Appended(overlaps=True)
        numbers.commit(record.sequence, record.joined)
        run.numbered.add(record.producer_id)
        return None

    def _keep_scalars(self, run: Run, record: Record, position: int) -> list[str]:
        if not record.series:
            return []
        refused = self._add_series(run, record, position)
        kept = [each for each in record.series if (each.name, each.attempt) in run.series]
        message = MetricData(series=kept, timestamp_ms=record.timestamp_ms).SerializeToString()
        rows = max((len(each.steps) for each in kept), default=0)
        if rows:
            self._tail.append(
                {"session": run.pk, "position": position, "row_count": rows, "message": message}
            )
            run.rows += rows
            run.records += 1
            run.bytes += len(message)
        if not refused:
            return []
        complaint = (
            f"{len(refused)} new series, {refused[0][:64]!r} the first, were refused: a session "
            f"may have {MAX_SERIES}; the training should use fewer metric names"
        )
        return [complaint]

    def _add_series(self, run: Run, record: Record, position: int) -> list[str]:
        """Make rows for series never seen before; return the names of those beyond the limit."""
        keys = dict.fromkeys((each.name, each.attempt) for each in record.series)
        fresh = [key for key in keys if key not in run.series]
        if not fresh:
            return []
        room = MAX_SERIES - len(run.series)
        table, before = schema.series, position - 1  # of what came before, nothing is of them
        rows = [
            {"session": run.pk, "name": name, "attempt": attempt, "compacted": before}
            for name, attempt in fresh[:room]
        ]
        if rows:
            self.connection.execute(insert(table), rows)
            made = select(table.c.name, table.c.attempt, table.c.pk).where(
                table.c.session == run.pk, table.c.compacted == before
            )
            for name, attempt, pk in self.connection.execute(made):
                run.series[name, attempt] = pk
        return [name for name, _ in fresh[room:]]

    def _compact(self, session_id: str, run: Run) -> Chore:
        upto = run.position
        yield from compact(self, run.pk, upto)
        known = self._runs.get(session_id)
        if known is run:  # else it was read anew meanwhile
            run.compacting = False
            run.rows, run.records, run.bytes = self._measure_tail(run.pk)

    def _make_room(self, session: int) -> Chore:
        yield from self._pictures.make_room(self, session)
        self._making_room.discard(session)

    # Sessions and facts.

    def put_session(self, record: SessionRecord) -> None:
        """Keep what is known of a session."""
        run = self._run(record.session_id)
        values: dict[str, Any] = {
            "run_key": record.run_key,
            "incarnation": record.incarnation,
            "started_ms": record.started_ms,
            "ended_ms": record.ended_ms,
            "snapshot": record.snapshot.SerializeToString(),
        }
        if record.registration is not None:
            values["registration"] = record.registration.SerializeToString()
        table = schema.sessions
        self.connection.execute(update(table).where(table.c.pk == run.pk).values(values))
        for place, producer in enumerate(record.producers):
            self._put_producer(run, producer, place)

    def _put_producer(self, run: Run, producer: ProducerRecord, place: int) -> None:
        self._numbers(run, producer.producer_id)  # makes its row
        table = schema.producers
        chosen = (table.c.session == run.pk) & (table.c.producer_id == producer.producer_id)
        self.connection.execute(
            update(table)
            .where(chosen)
            .values(
                place=place,
                rank=producer.rank,
                hostname=producer.hostname,
                pid=producer.pid,
                sends_metric_data=producer.sends_metric_data,
                last_seen_ms=producer.last_seen_ms,
                status=producer.status,
                trainer=producer.trainer,
            )
        )

    def put_command(self, record: CommandRecord) -> None:
        """Keep the present state of a command."""
        run = self._run(record.session_id)
        self._touched[run.pk] = run
        name = record.command.command_id
        self._put_fact(run, COMMAND, name, run.step(), record.SerializeToString())

    def put_error(self, session_id: str, error: ErrorResponse) -> None:
        """Keep an error."""
        run = self._run(session_id)
        self._touched[run.pk] = run
        position = run.step()
        self._put_fact(run, ERROR, str(position), position, error.SerializeToString())

    def _put_fact(self, run: Run, kind: str, name: str, position: int, message: bytes) -> None:
        table = schema.facts
        chosen = (table.c.session == run.pk) & (table.c.kind == kind) & (table.c.name == name)
        values = {"position": position, "message": message}
        if self.connection.execute(update(table).where(chosen).values(values)).rowcount == 0:
            key = {"session": run.pk, "kind": kind, "name": name, "born": position}
            self.connection.execute(insert(table).values({**key, **values}))

    def forget(self, session_id: str) -> None:
        """Let a session go at once; its rows and files go later, in slices."""
        pk = find_session(self.connection, session_id)
        if pk is None:
            return
        self.flush()
        self._runs.pop(session_id, None)
        table = schema.sessions
        gone = {"session_id": f"~{pk}", "run_key": "", "forgotten": True}
        self.connection.execute(update(table).where(table.c.pk == pk).values(gone))
        self.chores.append(self.purge())

    def drop_damaged(self, picture: DamagedPicture) -> None:
        """Let go of a picture that cannot be read."""
        self._pictures.drop_damaged(
            self.connection, picture.session, picture.ordinal, picture.place
        )

    def purge(self) -> Chore:
        """Delete what was forgotten, also by an earlier monitor."""
        yield from purge(self, self._pictures.segments, self._free)

    def sweep(self) -> Chore:
        """Free the files that a crash left behind."""
        yield from self._pictures.sweep(self)

    # What is at hand.

    def _run(self, session_id: str) -> Run:
        run = self._runs.get(session_id)
        if run is None:
            pk = find_session(self.connection, session_id)
            run = self._read(pk) if pk is not None else self._make(session_id)
            self._runs[session_id] = run
        else:
            self._runs.move_to_end(session_id)
        return run

    def _make(self, session_id: str) -> Run:
        made = self.connection.execute(
            insert(schema.sessions).values(
                session_id=session_id,
                run_key="",
                incarnation="",
                forgotten=False,
                position=0,
                floor=0,
                started_ms=0,
            )
        )
        return Run(_key_of(made), 0, {})

    def _read(self, pk: int) -> Run:
        table = schema.series
        rows = self.connection.execute(
            select(table.c.name, table.c.attempt, table.c.pk).where(table.c.session == pk)
        )
        series = {(name, attempt): number for name, attempt, number in rows}
        position = self.connection.scalar(
            select(schema.sessions.c.position).where(schema.sessions.c.pk == pk)
        )
        return Run(pk, int(position or 0), series, *self._measure_tail(pk))

    def _measure_tail(self, pk: int) -> tuple[int, int, int]:
        tail, table = schema.tail, schema.series
        floor = select(func.min(table.c.compacted)).where(table.c.session == pk).scalar_subquery()
        found = self.connection.execute(
            select(
                func.coalesce(func.sum(tail.c.row_count), 0),
                func.count(),
                func.coalesce(func.sum(func.length(tail.c.message)), 0),
            ).where(tail.c.session == pk, tail.c.position > floor)
        ).one()
        return int(found[0]), int(found[1]), int(found[2])

    def _numbers(self, run: Run, producer_id: str) -> Sequences:
        numbers = run.sequences.get(producer_id)
        if numbers is not None:
            return numbers
        table = schema.producers
        found = self.connection.execute(
            select(table.c.stored, table.c.missing).where(
                table.c.session == run.pk, table.c.producer_id == producer_id
            )
        ).first()
        if found is None:
            blank = ProducerRecord(producer_id)
            self.connection.execute(
                insert(table).values(
                    session=run.pk,
                    producer_id=producer_id,
                    missing="0",
                    place=0,
                    rank=blank.rank,
                    hostname=blank.hostname,
                    pid=blank.pid,
                    sends_metric_data=blank.sends_metric_data,
                    last_seen_ms=blank.last_seen_ms,
                    status=blank.status,
                    trainer=blank.trainer,
                )
            )
            numbers = Sequences()
        else:
            numbers = Sequences(None if found.stored is None else int(found.stored))
            numbers.missing = int(found.missing)
        run.sequences[producer_id] = numbers
        return numbers


def _key_of(made: CursorResult[Any]) -> int:
    key = made.inserted_primary_key
    if key is None:
        raise RuntimeError("the database gave a new row no key")
    return int(key[0])


def _numbers_of(run: Run) -> Iterator[dict[str, Any]]:
    numbered, run.numbered = run.numbered, set()
    for producer_id in numbered:
        numbers = run.sequences[producer_id]
        yield {
            "of_session": run.pk,
            "of_producer": producer_id,
            "now_stored": str(numbers.stored),
            "now_missing": str(numbers.missing),
        }
