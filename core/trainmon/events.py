"""What travels between a loop, its adapter and the session: plain dataclasses, no protobuf.

Frozen, with defaults, and they only grow: a plugin written for an older trainmon goes on working.
Arrays are of any framework (NumPy, Torch on any device, TensorFlow, JAX) and are never changed
and never kept past the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = [
    "BatchEvent",
    "ControlCommand",
    "ControlKind",
    "ControlOutcome",
    "ControlSpec",
    "ControlType",
    "EpochEvent",
    "FrameEvent",
    "FrameRequest",
    "SessionInfo",
]


@dataclass(frozen=True)
class SessionInfo:
    """What is known of a run when it starts; the wire's registration without its transport."""

    run_key: str
    """One per run; processes that share it share the session."""
    producer_id: str
    """One per process and rank."""
    session_name: str = ""
    framework: str = ""
    framework_version: str = ""
    class_names: tuple[str, ...] = ()
    """Name of each class, by index."""
    total_epochs: int | None = None
    batches_per_epoch: int | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    pid: int = 0
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True)
class FrameRequest:
    """A picture is wanted of this step."""

    max_samples: int
    """Samples to gather at most; 1 to 16."""
    tile_size: int
    """Edge in pixels to which larger pictures may be strided down; 32 to 512."""


@dataclass(frozen=True)
class FrameEvent:
    """Samples about to be encoded, as the relay shows them to ``trainmon_render_batch``."""

    global_step: int
    epoch: int
    """From 0."""
    batch_index: int
    """Within the epoch, from 0."""
    tile_size: int
    """Edge of a tile in pixels that viewers want; 32 to 512."""
    arrays: Mapping[str, Any] = field(default_factory=dict)
    """NumPy arrays by role, N samples each, as :mod:`trainmon.channel.frames` lists them."""
    texts: Sequence[str] = ()
    """Samples that are text, N of them."""
    loss: float | None = None
    """Unscaled loss of the batch."""
    output_texts: Sequence[str] = ()
    """What the model wrote, N of them."""
    target_texts: Sequence[str] = ()
    """What it should have written, N of them."""
    tokens: Sequence[Sequence[str]] = ()
    """Tokens of each sample; their losses are the array ``token_losses``."""


@dataclass(frozen=True)
class BatchEvent:
    """The samples of one training batch, as an adapter hands them over where a picture is due.

    Scalars go with every batch to ``session.step_ended``; those of this event are not read. Every
    field is optional. With B samples, C classes, H×W pixels:
    """

    images: Any = None
    """Pictures, (B, H, W), (B, H, W, 1|3|4) or (B, 1|3|4, H, W); uint8 0 to 255, or float."""
    outputs: Any = None
    """Logits or probabilities (B, C); binary logits or regression values (B,) or (B, 1); of every
    pixel (B, C, H, W), (B, H, W, C) or, of two classes, (B, 1, H, W)."""
    targets: Any = None
    """Class indices (B,); one-hot or multi-hot (B, C); regression values (B,) or (B, K); of every
    pixel class indices (B, H, W) or (B, 1, H, W), or 0 and 1 of the outputs' shape."""
    loss: Any = None
    """Unscaled loss of the batch: a number or an array of one element."""
    sample_losses: Any = None
    """Loss of each sample, (B,)."""
    texts: Sequence[str] | None = None
    """Samples that are text, B of them."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Further scalars by name."""
    batch_size: Any = None
    """Samples in the batch, a number or an array of one element; None: taken from the arrays."""
    optimizer_step: int | None = None
    """The framework's own count of optimizer steps."""
    learning_rate: float | None = None
    """Rate in force during the step."""
    output_boxes: Sequence[Any] | None = None
    """What the model found, B mappings: ``boxes`` (K, 4), left, top, right and bottom in pixels of
    the picture as handed over, ``labels`` (K,), ``scores`` (K,) from 0 to 1; the last two where
    they are known. At most 64 of a sample are shown."""
    target_boxes: Sequence[Any] | None = None
    """What was there, likewise."""
    output_texts: Sequence[str] | None = None
    """What the model wrote, B strings."""
    target_texts: Sequence[str] | None = None
    """What it should have written, B strings."""
    tokens: Sequence[Sequence[str]] | None = None
    """Tokens of each sample as text, B sequences; at most 256 of a sample are shown."""
    token_losses: Sequence[Any] | None = None
    """Loss of each token in nats, B arrays aligned with ``tokens``; NaN: not scored."""
    mean_loss: Any = None
    """Mean of the ``sample_losses`` of the whole batch, where these are only some: they are shown
    only where it is the batch's loss. A number or an array of one element."""
    count: Any = None
    """Of arrays on a device that are filled up with rows which are no samples: how many are, the
    first ones; an array of one element. None: all are samples."""


@dataclass(frozen=True)
class EpochEvent:
    """The end of one epoch. Every field is optional."""

    average_loss: float | None = None
    """Mean training loss; None: the mean of the batch losses that were told."""
    average_accuracy: float | None = None
    """Training accuracy, 0 to 1."""
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    """Validation accuracy, 0 to 1."""
    learning_rate: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class ControlType(Enum):
    """The kind of value a control takes; the names of the wire's ControlType."""

    NUMBER = "NUMBER"
    """Any finite number within the range."""
    INTEGER = "INTEGER"
    BOOLEAN = "BOOLEAN"
    """0 or 1."""
    CHOICE = "CHOICE"
    """An index into ``choices``."""
    TRIGGER = "TRIGGER"
    """No value: a button."""


@dataclass(frozen=True)
class ControlSpec:
    """A knob the training offers; enough for a page to draw the right widget."""

    name: str
    title: str = ""
    description: str = ""
    type: ControlType = ControlType.NUMBER
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    destructive: bool = False
    """Whether a page must ask before it uses this."""
    current_value: float | None = None
    logarithmic: bool = False
    unavailable_reason: str = ""
    """Why it cannot be used now; empty when it can."""


class ControlKind(Enum):
    """What a command asks for; the names of the wire's ``action`` fields."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    ADJUST_LEARNING_RATE = "adjust_learning_rate"
    SAVE_CHECKPOINT = "save_checkpoint"
    EVALUATE = "evaluate"
    SET_CONTROL = "set_control"


@dataclass(frozen=True)
class ControlCommand:
    """One command, as it reaches a control point."""

    command_id: str
    kind: ControlKind
    issued_by: str = ""
    name: str = ""
    """Which control, for SET_CONTROL."""
    value: float | None = None
    """The new value: a learning rate, or a control's."""
    factor: float | None = None
    """Multiplies the base learning rate, instead of ``value``."""
    optimizer_index: int | None = None
    """Which optimizer, from 0; None: all."""
    group: int | None = None
    """Which parameter group, from 0; None: all, their ratios kept."""
    expires_at_s: float | None = None
    """When it expires, on ``time.monotonic()``; None: never."""


@dataclass(frozen=True)
class ControlOutcome:
    """What became of a command at a control point."""

    applied: bool
    """False: refused, ``message`` says why."""
    message: str = ""
    previous_value: float | None = None
    applied_value: float | None = None
    read_back: Callable[[], float | None] | None = None
    """Reads the value in force; called at the next control point, after a step was made with it."""
