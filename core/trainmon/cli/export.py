"""``trainmon export``: what is kept of a session as a table for other programs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from trainmon.cli.choose import find_session
from trainmon.cli.output import opened
from trainmon.cli.signals import terminable
from trainmon.cli.text import printable
from trainmon.cli.where import address_of, monitor_option

if TYPE_CHECKING:
    from trainmon.cli.client import Client
    from trainmon.cli.histories import Table
    from trainmon.cli.points import Piece, PointReader
    from trainmon.cli.tables import Column, TableWriter
    from trainmon.v1.dashboard_pb2 import SessionSummary

__all__ = ["export"]

_PARQUET_ENDINGS = (".parquet", ".pq")
#: Names of series that a message lists.
_MAX_NAMES = 30


@dataclass(frozen=True)
class _Options:
    """What was asked for."""

    what: str
    form: str
    target: str
    force: bool
    series: tuple[str, ...]
    first_step: int | None
    last_step: int | None


@click.command(
    epilog="Exit status: 0 where all of it was written, 1 where it was not (then there is no "
    "file), 2 where the command is wrong. docs/cli.md tells the columns.",
)
@click.argument("session", metavar="SESSION")
@click.option(
    "--what",
    type=click.Choice(["metrics", "epochs", "commands", "errors", "states"]),
    default="metrics",
    show_default=True,
    help="Every point of the series, or a row for each epoch, command, error or state.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet"]),
    help="[default: parquet for a FILE of that ending, else csv]",
)
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to; -: standard output.")
@click.option("--force", is_flag=True, help="Replace a FILE that is there.")
@click.option(
    "--series",
    multiple=True,
    metavar="NAME,...",
    help="Only these series; may be given repeatedly.  [default: all]",
)
@click.option("--first-step", type=click.IntRange(0), help="Only from this step on.")
@click.option("--last-step", type=click.IntRange(0), help="Only up to this step, inclusive.")
@monitor_option
def export(
    session: str,
    what: str,
    form: str | None,
    output: str,
    series: tuple[str, ...],
    first_step: int | None,
    last_step: int | None,
    monitor: str | None,
    *,
    force: bool,
) -> None:
    """Write what is kept of a session as CSV or Parquet: every point, exact.

    SESSION is an id, the beginning of one id only, or a name that one session only has.
    """
    if what != "metrics" and (series or first_step is not None or last_step is not None):
        raise click.UsageError("--series, --first-step and --last-step are for --what metrics")
    if first_step is not None and last_step is not None and first_step > last_step:
        raise click.UsageError(f"--first-step {first_step} is after --last-step {last_step}")
    form = form or ("parquet" if output.lower().endswith(_PARQUET_ENDINGS) else "csv")
    if form == "parquet" and output == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for terminals: name a file with -o")
    options = _Options(what, form, output, force, series, first_step, last_step)
    with terminable():
        asyncio.run(_export(address_of(monitor), session, options))


async def _export(address: str, wanted: str, options: _Options) -> None:
    from trainmon.cli.client import Client

    async with Client(address) as client:
        summary = find_session((await client.sessions()).sessions, wanted)
        if options.what == "metrics":
            told = await _export_metrics(client, summary, options)
        else:
            told = await _export_table(client, summary, options)
    where = "" if options.target == "-" else f": {options.target}"
    click.echo(f"{told}{where}", err=True)


async def _export_table(client: Client, summary: SessionSummary, options: _Options) -> str:
    columns, cells = await _asked(client, summary.session_id, options.what)
    with _writing(summary, options, columns) as writer:
        writer.write(cells)
    return f"{len(cells[0]):,} {options.what if len(cells[0]) != 1 else options.what[:-1]}"


async def _asked(client: Client, session_id: str, what: str) -> Table:
    from trainmon.cli import histories

    if what == "epochs":
        return histories.epochs(await client.epochs(session_id))
    if what == "commands":
        return histories.commands(await client.commands(session_id))
    if what == "errors":
        return histories.errors(await client.errors(session_id))
    return histories.states(await client.states(session_id))


async def _export_metrics(client: Client, summary: SessionSummary, options: _Options) -> str:
    from trainmon.cli.points import COLUMNS, Piece, PointReader, columns_of

    reader = PointReader(client, summary.session_id)
    whole = Piece(first_step=options.first_step, last_step=options.last_step)
    counts = await _chosen(reader, whole, options.series)
    rows = 0
    with _writing(summary, options, COLUMNS) as writer, _progress(counts, options) as advance:
        async for answer in reader.read(counts, whole):
            columns = columns_of(answer)
            writer.write(columns)
            rows += len(columns[0])
            advance(len(columns[0]))
    return f"{rows:,} {'row' if rows == 1 else 'rows'} of {len(counts)} series"


async def _chosen(reader: PointReader, whole: Piece, wanted: Sequence[str]) -> dict[str, int]:
    """Return how many points each of the wanted series has in the range.

    Raises:
        click.ClickException: The session has no series of a name.
    """
    from trainmon.cli.points import Piece

    counts = await reader.counts(whole)
    if not wanted:
        return counts
    known = counts if whole == Piece() else await reader.counts(Piece())
    names = [name for text in wanted for name in ([text] if text in known else text.split(","))]
    missing = [name for name in names if name not in known]
    if missing:
        listed = [printable(name) for name in [*known][:_MAX_NAMES]]
        more = ", ..." if len(known) > len(listed) else ""
        raise click.ClickException(
            f"the session has no series {printable(missing[0])!r}; it has "
            f"{', '.join(listed) or 'none at all'}{more}"
        )
    return {name: points for name, points in counts.items() if name in names}


@contextmanager
def _writing(
    summary: SessionSummary, options: _Options, columns: Sequence[Column]
) -> Iterator[TableWriter]:
    """Give what writes a table to where it was asked for."""
    with opened(options.target, force=options.force) as stream:
        writer = _writer(summary, options, columns, stream)
        yield writer
        writer.close()


def _writer(
    summary: SessionSummary, options: _Options, columns: Sequence[Column], stream: BinaryIO
) -> TableWriter:
    from trainmon.cli.tables import CsvWriter, ParquetWriter

    if options.form == "csv":
        shown = printable if options.target == "-" and sys.stdout.isatty() else None
        return CsvWriter(stream, columns, shown)
    metadata = {
        "trainmon.session_id": summary.session_id,
        "trainmon.session_name": summary.session_name,
        "trainmon.what": options.what,
    }
    return ParquetWriter(stream, columns, metadata)


@contextmanager
def _progress(counts: dict[str, int], options: _Options) -> Iterator[Any]:
    """Give what is told how many rows were written; it shows them where someone can see it."""
    mixed = options.target == "-" and sys.stdout.isatty()
    if not sys.stderr.isatty() or mixed:
        yield _unseen
        return
    with click.progressbar(length=sum(counts.values()), label="rows", file=sys.stderr) as bar:
        yield bar.update


def _unseen(_: int) -> None:
    """Show no progress."""
