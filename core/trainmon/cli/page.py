"""The page of text that ``trainmon show`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from trainmon.cli.histories import action_of, asked_ms, convergence_name, state_of
from trainmon.cli.standings import Standing
from trainmon.cli.text import ago, aligned, enum_name, lasting, moment, printable, since, state_name
from trainmon.v1.control_pb2 import CommandRecord, ControlCommand
from trainmon.v1.dashboard_pb2 import SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import EpochData, ErrorCode, ErrorResponse, PerformanceData

__all__ = ["page"]

#: The newest so many epochs, commands and errors are shown, and the first so many ranks.
_MAX_EPOCHS, _MAX_COMMANDS, _MAX_ERRORS, _MAX_RANKS = 10, 20, 20, 16
_Cells = tuple[str, ...]


def page(snapshot: SessionSnapshot, standings: Sequence[Standing], series: int) -> Iterator[str]:
    """Yield the lines of a session's page.

    Args:
        snapshot: The session, with all of its epochs, commands and errors.
        standings: How its series stand.
        series: How many series it has, where more than are told of.
    """
    yield from aligned(_head(snapshot))
    hyperparameters = sorted(snapshot.registration.hyperparameters.items())
    yield from _section(
        "hyperparameters", [tuple(map(printable, each)) for each in hyperparameters]
    )
    yield from _section(_cut("scalars", len(standings), series), _scalars(standings))
    epochs = snapshot.epochs[-_MAX_EPOCHS:]
    yield from _section(_cut("epochs", len(epochs), len(snapshot.epochs), "last"), _epochs(epochs))
    commands = snapshot.commands[-_MAX_COMMANDS:]
    title = _cut("commands", len(commands), len(snapshot.commands), "last")
    yield from _section(title, _commands(commands))
    yield from _section("notes", [(line,) for note in snapshot.notes for line in _lines(note)])
    errors = snapshot.errors[-_MAX_ERRORS:]
    yield from _section(_cut("errors", len(errors), len(snapshot.errors), "last"), _errors(errors))


def _section(title: str, rows: Sequence[_Cells]) -> Iterator[str]:
    """Yield a headed table; nothing where it has no rows."""
    if rows:
        yield ""
        yield click.style(title, bold=True)
        yield from (f"  {line}" for line in aligned(rows))


def _cut(title: str, shown: int, known: int, which: str = "first") -> str:
    return title if shown == known else f"{title} (the {which} {shown} of {known})"


def _lines(text: str) -> list[str]:
    return [printable(line) for line in text.splitlines()]


# What it is and how far.


def _head(snapshot: SessionSnapshot) -> Iterator[_Cells]:
    """Yield what is said of the session as a whole: a word, and what there is to it."""
    summary, told = snapshot.summary, snapshot.registration
    now_ms = snapshot.timestamp_ms
    yield "session", summary.session_id
    yield "name", printable(summary.session_name) or "-"
    yield "state", state_name(summary.state)
    yield from (("", line) for line in _lines(summary.status_message))
    yield "started", ago(summary.started_ms, now_ms)
    if summary.HasField("ended_ms"):
        yield "ended", ago(summary.ended_ms, now_ms)
    yield "last heard", ago(summary.last_seen_ms, now_ms)
    yield "framework", printable(f"{told.framework} {told.framework_version}").strip() or "-"
    yield "progress", _progress(summary)
    if snapshot.HasField("performance_data"):
        yield "rate", _rate(summary, snapshot.performance_data)
    yield from _ranks(summary, now_ms)
    yield "watched by", _counted(summary.viewers, "viewer") if summary.viewers else "nobody"
    yield "lost", _lost(snapshot)


def _progress(summary: SessionSummary) -> str:
    if not summary.HasField("global_step"):
        return "no batch has ended yet"
    epoch, batch = f"epoch {summary.epoch + 1}", f"batch {summary.batch_index + 1}"
    if summary.HasField("total_epochs"):
        epoch += f" of {summary.total_epochs}"
    if summary.HasField("batches_per_epoch"):
        batch += f" of {summary.batches_per_epoch}"
    return f"{epoch}, {batch}, step {summary.global_step}"


def _rate(summary: SessionSummary, rates: PerformanceData) -> str:
    average = f"{summary.average_fps:.1f} batches/s on average"
    if summary.HasField("ended_ms"):
        return average
    now = f"{summary.current_fps:.1f} batches/s now, {average}"
    if not rates.HasField("run_remaining_ms"):
        return now
    return f"{now}, about {lasting(rates.run_remaining_ms)} to go"


def _ranks(summary: SessionSummary, now_ms: int) -> Iterator[_Cells]:
    if len(summary.ranks) < summary.world_size:
        yield "ranks", f"{len(summary.ranks)} of {summary.world_size} have joined"
    for rank in summary.ranks[:_MAX_RANKS]:
        where = f"{printable(rank.hostname) or '-'}, process {rank.pid}"
        heard = f"last heard {since(rank.last_seen_ms, now_ms)}"
        yield f"rank {rank.rank}", f"{where}: {state_name(rank.state)}, {heard}"
    if len(summary.ranks) > _MAX_RANKS:
        yield "", f"and {len(summary.ranks) - _MAX_RANKS} ranks more"


def _lost(snapshot: SessionSnapshot) -> str:
    """Return what is known to be missing of the history."""
    parts = []
    if snapshot.missing_records:
        parts.append(f"{_counted(snapshot.missing_records, 'record')} on the way")
    parts += [
        f"{_counted(loss.count, printable(loss.kind))} refused before ({printable(loss.reason)})"
        for loss in snapshot.performance_data.losses
        if loss.count and not loss.best_effort
    ]
    return "; ".join(parts) or "nothing known of"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 or noun.endswith('s') else 's'}"


# Tables.


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _optional(epoch: EpochData, name: str) -> str:
    return _number(getattr(epoch, name)) if epoch.HasField(name) else "-"


def _needed(rows: Sequence[_Cells]) -> list[_Cells]:
    """Return a headed table without the columns that say nothing in any row."""
    columns = [column for column in zip(*rows, strict=True) if not {*column[1:]} <= {"-", ""}]
    return list(zip(*columns, strict=True))


def _attempt(attempt: int, several: bool) -> str:
    """Return which attempt a row is of, from 1; nothing where there was but one."""
    return str(attempt + 1) if several else "-"


def _scalars(standings: Sequence[Standing]) -> list[_Cells]:
    if not standings:
        return []
    several = any(each.attempt for each in standings)
    rows = [("SERIES", "ATTEMPT", "NEWEST", "AT STEP", "MINIMUM", "MAXIMUM", "POINTS")]
    rows += [
        (
            printable(each.name),
            _attempt(each.attempt, several),
            _number(each.value),
            str(each.step),
            _number(each.minimum),
            _number(each.maximum),
            str(each.points),
        )
        for each in standings
    ]
    return _needed(rows)


def _epochs(epochs: Sequence[EpochData]) -> list[_Cells]:
    if not epochs:
        return []
    several = any(epoch.attempt for epoch in epochs)
    names = ("average_loss", "average_accuracy", "validation_loss", "validation_accuracy")
    heads = ("LOSS", "ACCURACY", "VALIDATION LOSS", "VALIDATION ACCURACY", "LEARNING RATE")
    rows: list[_Cells] = [("EPOCH", "ATTEMPT", *heads, "TOOK", "")]
    rows += [
        (
            str(epoch.epoch + 1),
            _attempt(epoch.attempt, several),
            *(_optional(epoch, name) for name in (*names, "learning_rate")),
            lasting(epoch.duration_ms),
            convergence_name(epoch),
        )
        for epoch in epochs
    ]
    return _needed(rows)


def _commands(records: Sequence[CommandRecord]) -> list[_Cells]:
    if not records:
        return []
    rows: list[_Cells] = [("ASKED", "WHAT", "BY", "STATE", "AT STEP", "EFFECT", "")]
    rows += [
        (
            moment(asked_ms(record)),
            printable(_asked_for(record.command)),
            printable(record.command.issued_by) or "-",
            state_of(record),
            _step(record),
            _effect(record),
            printable(record.result.message),
        )
        for record in records
    ]
    return _needed(rows)


def _asked_for(command: ControlCommand) -> str:
    """Return what a command asks for, with its value."""
    what = action_of(command).replace("_", " ")
    kind = command.WhichOneof("action")
    if kind == "set_control":
        return f"{command.set_control.name} = {_number(command.set_control.value)}"
    if kind != "adjust_learning_rate":
        return what
    change = command.adjust_learning_rate
    if change.WhichOneof("value") == "factor":
        return f"learning rate × {_number(change.factor)}"
    return f"learning rate = {_number(change.learning_rate)}"


def _step(record: CommandRecord) -> str:
    return str(record.result.applied_at_step) if record.result.HasField("applied_at_step") else "-"


def _effect(record: CommandRecord) -> str:
    """Return the values before and after; the one read back, where it is known."""
    result = record.result
    name = "effective_value" if result.HasField("effective_value") else "applied_value"
    if not result.HasField(name):
        return "-"
    after = _number(getattr(result, name))
    return (
        f"{_number(result.previous_value)} → {after}"
        if result.HasField("previous_value")
        else after
    )


def _errors(errors: Sequence[ErrorResponse]) -> list[_Cells]:
    return [
        (
            moment(error.timestamp_ms),
            enum_name(ErrorCode, error.code, "ERROR_CODE_"),
            printable(error.message),
        )
        for error in errors
    ]
