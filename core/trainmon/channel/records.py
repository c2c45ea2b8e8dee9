"""The records a training writes to its relay, and the commands that come back.

Steps are packed, for there may be thousands a second; everything else is JSON (with NaN and
infinities as Python's json writes them). The first byte says the kind.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

__all__ = ["Kind", "StepRecord", "encode_json", "pack_json", "pack_step", "unpack"]


class Kind(IntEnum):
    """What a record tells."""

    STEP = 1
    """A batch ended: :class:`StepRecord`."""
    FRAME = 2
    """A picture lies in a slot: see :mod:`trainmon.channel.frames`."""
    EPOCH = 3
    """An epoch ended: EpochEvent's fields, ``epoch``, ``global_step``, ``duration_ms``,
    ``attempt``, ``time_ms``."""
    STATUS = 4
    """``status`` (the name of a TrainingStatus without its prefix), ``message``, ``time_ms``,
    ``global_step``."""
    DETAILS = 5
    """What became known: ``class_names``, ``total_epochs``, ``batches_per_epoch``,
    ``hyperparameters``, ``controls`` (ControlSpec's fields), ``notes``; each may be absent."""
    RESULT = 6
    """What became of a command: CommandResult's fields, ``state`` by name without its prefix."""
    CLOSE = 7
    """The session ends: ``status``, ``message``, ``time_ms``, ``global_step``."""
    COMMAND = 8
    """To the training: ControlCommand's fields, ``kind`` by value."""


_STEP = struct.Struct("=BBHIqqddqI4x")
_STEP_KIND = int(Kind.STEP)
_HAS_LOSS, _HAS_OPTIMIZER_STEP = 1, 2


@dataclass(frozen=True)
class StepRecord:
    """One batch ended."""

    global_step: int
    epoch: int
    batch_index: int
    time_ms: float
    """When, in ms since the epoch."""
    loss: float | None = None
    optimizer_step: int | None = None
    attempt: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


# json.dumps would make an encoder for each call that asks for these separators.
encode_json = json.JSONEncoder(separators=(",", ":")).encode

#: By the names of a step's metrics: the layout of its numbers, and the names joined. A loop logs
#: the same ones at each step.
_layouts: dict[tuple[str, ...], tuple[struct.Struct, bytes]] = {}


def _layout(names: tuple[str, ...]) -> tuple[struct.Struct, bytes]:
    if len(_layouts) > 1000:  # a script that makes up names must not grow this for ever
        _layouts.clear()
    numbers = struct.Struct(f"{_STEP.format}{len(names)}d")
    joined = "\0".join(name.replace("\0", " ") for name in names)
    found = _layouts[names] = (numbers, joined.encode("utf-8", "replace"))
    return found


def pack_step(
    global_step: int,
    epoch: int,
    batch_index: int,
    time_ms: float,
    loss: float | None,
    optimizer_step: int | None,
    attempt: int,
    metrics: Mapping[str, float],
) -> bytes:
    """Return the record of a step, given the fields of :class:`StepRecord`; about 1 µs."""
    names = tuple(metrics)
    numbers, joined = _layouts.get(names) or _layout(names)
    flags = 0 if loss is None else _HAS_LOSS
    if optimizer_step is not None:
        flags |= _HAS_OPTIMIZER_STEP
    return (
        numbers.pack(
            _STEP_KIND,
            flags,
            len(names),
            epoch,
            global_step,
            batch_index,
            time_ms,
            0.0 if loss is None else loss,
            optimizer_step or 0,
            attempt,
            *metrics.values(),
        )
        + joined
    )


def _unpack_step(payload: bytes) -> StepRecord:
    (_, flags, count, epoch, global_step, batch_index, time_ms, loss, optimizer_step, attempt) = (
        _STEP.unpack_from(payload)
    )
    metrics: dict[str, float] = {}
    if count:
        end = _STEP.size + 8 * count
        values = struct.unpack_from(f"={count}d", payload, _STEP.size)
        metrics = dict(zip(payload[end:].decode().split("\0"), values, strict=True))
    return StepRecord(
        global_step=global_step,
        epoch=epoch,
        batch_index=batch_index,
        time_ms=time_ms,
        loss=loss if flags & _HAS_LOSS else None,
        optimizer_step=optimizer_step if flags & _HAS_OPTIMIZER_STEP else None,
        attempt=attempt,
        metrics=metrics,
    )


def pack_json(kind: Kind, fields: Mapping[str, Any], encoded: str = "") -> bytes:
    """Return a record of any other kind.

    Args:
        kind: Of the record.
        fields: What it tells; at least one.
        encoded: Further fields, as :func:`encode_json` makes an object of them.

    Raises:
        TypeError: A value is no JSON.
    """
    text = encode_json(fields)
    if encoded:
        text = f"{encoded[:-1]},{text[1:]}"
    return bytes((kind,)) + text.encode()


def unpack(payload: bytes) -> tuple[Kind, StepRecord | dict[str, Any]]:
    """Return the kind of a record and what it holds.

    Raises:
        ValueError: It is no record.
    """
    kind = Kind(payload[0])
    if kind is Kind.STEP:
        return kind, _unpack_step(payload)
    fields = json.loads(payload[1:])
    if not isinstance(fields, dict):
        raise ValueError(f"a {kind.name} record holds {type(fields).__name__}, not an object")
    return kind, fields
