"""The whole contract for the authors of plugins: where trainmon calls them, with what, for what.

How to write a plugin is told in :mod:`trainmon.plugin`. The life of a run, every hook in place::

    # any process
    trainmon --help                           trainmon_cli(group)

    # the training's process: adapter hooks, asked of the session's own adapter only
    import torch                              trainmon_instrument()
    with start_session() as session:          trainmon_declare_controls(session, raw)
        for epoch in range(epochs):
            for batch in loader:
                ...                           (forward, backward, optimizer step)
                session.batch_end(...)        trainmon_collect_batch(session, raw)
                session.control_point(...)    trainmon_check_control(session, command)
                                              trainmon_apply_control(session, command)
            session.epoch_end(...)            trainmon_collect_epoch(session, raw)

    # the relay's process, told through shared memory: observer hooks; none can slow a step
    the run starts                            trainmon_session_started(session)
    a batch ended                             trainmon_batch_ended(session, batch)
    a picture is encoded                      trainmon_render_batch(session, batch)
    an epoch ended                            trainmon_epoch_ended(session, epoch)
    a command was applied                     trainmon_control_applied(session, result)
    the run ends                              trainmon_session_ended(session, ended)

    # the monitor's process: monitor hooks
    the monitor starts                        trainmon_open_store(url)
    somebody calls                            trainmon_authenticate(metadata)
    a run registers, changes state, ends      trainmon_monitor_session_changed(session_id, summary)
    a message arrives                         trainmon_monitor_telemetry(session_id, request)
    a command changes state                   trainmon_monitor_command_changed(record)

Rules. Events are frozen or to be treated so, and no array is kept past the call. Hooks are plain
functions: no coroutines, no generators, no wrappers. What one raises is caught at its plugin's own
door; only StopTraining, KeyboardInterrupt and SystemExit pass, and in the relay and the monitor,
which no plugin may end, not even they. ``tryfirst`` and ``trylast`` order the plugins; no other
order is promised.

Hooks only grow: none loses an argument, new data comes as fields with defaults. A new hook or
argument raises HOOKSPEC_VERSION by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

from trainmon.plugin import PROJECT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import click

    from trainmon.channel.records import StepRecord
    from trainmon.events import (
        BatchEvent,
        ControlCommand,
        ControlOutcome,
        ControlSpec,
        EpochEvent,
        FrameEvent,
        SessionInfo,
    )
    from trainmon.monitor.store.base import Store
    from trainmon.plugin import Caller
    from trainmon.session import Session
    from trainmon.v1.control_pb2 import CommandRecord, CommandResult
    from trainmon.v1.dashboard_pb2 import SessionSummary
    from trainmon.v1.telemetry_pb2 import EpochData, StatusUpdate, TelemetryRequest

__all__ = [
    "HOOKSPEC_VERSION",
    "hookspec",
    "trainmon_apply_control",
    "trainmon_authenticate",
    "trainmon_batch_ended",
    "trainmon_check_control",
    "trainmon_cli",
    "trainmon_collect_batch",
    "trainmon_collect_epoch",
    "trainmon_control_applied",
    "trainmon_declare_controls",
    "trainmon_epoch_ended",
    "trainmon_instrument",
    "trainmon_monitor_command_changed",
    "trainmon_monitor_session_changed",
    "trainmon_monitor_telemetry",
    "trainmon_open_store",
    "trainmon_render_batch",
    "trainmon_session_ended",
    "trainmon_session_started",
]

HOOKSPEC_VERSION: Final = 2
"""Version of this contract, not of trainmon. A plugin that needs a newer one is not run."""

hookspec = pluggy.HookspecMarker(PROJECT_NAME)

# Adapter hooks: in the training, on its thread, asked of the session's own adapter only.


@hookspec
def trainmon_instrument() -> None:
    """Attach to a framework with no code in the user's script.

    Called in a process started with ``TRAINMON_MONITOR`` each time a module was imported that the
    plugin waits for, by an entry point in the group ``trainmon.instruments``: its name is the
    module's, its value the plugin's as in the group ``trainmon``. Must be cheap, must bear to be
    called again, and must do nothing in a process that trains nothing.
    """


@hookspec
def trainmon_collect_batch(session: Session, raw: Any) -> BatchEvent | None:
    """Turn what the adapter captured of a step into samples; called only when a picture is due.

    Args:
        session: The run.
        raw: Whatever the adapter gave to ``session.step_ended``.

    Returns:
        The batch; arrays may be on any device and are read before this step ends. None: no
        samples of this step.
    """


@hookspec
def trainmon_collect_epoch(session: Session, raw: Any) -> EpochEvent | None:
    """Turn what the adapter captured into the end of an epoch.

    Args:
        session: The run.
        raw: Whatever the adapter gave to ``session.epoch_ended``.

    Returns:
        The epoch, or None where there is nothing to tell.
    """


@hookspec
def trainmon_declare_controls(session: Session, raw: Any) -> Sequence[ControlSpec] | None:
    """Say which knobs the run offers beside pause and stop.

    Args:
        session: The run.
        raw: The framework's trainer, model or optimizer, as the adapter knows it.

    Returns:
        The controls; None or empty: no more than the session's own.
    """


@hookspec
def trainmon_check_control(session: Session, command: ControlCommand) -> str | None:
    """Say what stands against a command, and change nothing.

    Asked where several ranks train, at a control point, on the training's thread: each rank votes
    with its answer before all carry the command out, or none. Without this hook only what every
    rank refuses alike is refused on all.

    Args:
        session: The run.
        command: What is asked for.

    Returns:
        The reason why ``trainmon_apply_control`` would refuse it here. None or empty: it would not.
        An exception refuses it, with the error as the reason.
    """


@hookspec
def trainmon_apply_control(session: Session, command: ControlCommand) -> ControlOutcome | None:
    """Carry out a command, at a control point, on the training's thread.

    Check every precondition before anything is changed.

    Args:
        session: The run.
        command: What is asked for.

    Returns:
        What became of it. None: not this adapter's affair, the session tries its own way.
        An exception rejects the command with the error as the reason.
    """


# Observer hooks: in the relay, where no observer can slow a step.


@hookspec
def trainmon_session_started(session: SessionInfo) -> None:
    """A run has started, or this relay has taken over from one that died.

    Args:
        session: What is known of the run at its start.
    """


@hookspec
def trainmon_session_ended(session: SessionInfo, ended: StatusUpdate) -> None:
    """A run has ended: by itself, on request, by an error, or its process died.

    Args:
        session: The run.
        ended: Its last state, with the error's type and text where it failed; read only.
    """


@hookspec
def trainmon_batch_ended(session: SessionInfo, batch: StepRecord) -> None:
    """A batch has ended. Called for every batch, perhaps thousands of times a second.

    Args:
        session: The run.
        batch: Step, epoch, time in ms since the epoch, loss and metrics.
    """


@hookspec
def trainmon_epoch_ended(session: SessionInfo, epoch: EpochData) -> None:
    """An epoch has ended.

    Args:
        session: The run.
        epoch: Losses, accuracies from 0 to 1, learning rate and metrics; read only.
    """


@hookspec
def trainmon_control_applied(session: SessionInfo, result: CommandResult) -> None:
    """A command has reached its end in the training: applied, rejected or expired.

    Args:
        session: The run.
        result: Which command, from which step it holds, old, new and effective value; read only.
    """


@hookspec(firstresult=True)
def trainmon_render_batch(session: SessionInfo, batch: FrameEvent) -> Sequence[Any] | None:
    """Draw the samples of a picture, for models that see something other than plain pictures.

    Args:
        session: The run.
        batch: The samples' arrays; read only, and gone after the call.

    Returns:
        One picture per sample, in order: uint8 arrays (H, W), (H, W, 3) or (H, W, 4). None: the
        next plugin is asked, and at last the samples are shown as they are.
    """


# Monitor hooks: in the monitor's event loop; an implementation that waits holds up everyone.


@hookspec
def trainmon_monitor_session_changed(session_id: str, summary: SessionSummary) -> None:
    """A session has registered, changed its state or ended.

    Args:
        session_id: Which.
        summary: State, progress and rates now; read only.
    """


@hookspec
def trainmon_monitor_telemetry(session_id: str, request: TelemetryRequest) -> None:
    """A message of a training has arrived and was found valid.

    Args:
        session_id: Which session.
        request: The message, pictures encoded; read only.
    """


@hookspec
def trainmon_monitor_command_changed(record: CommandRecord) -> None:
    """A command was recorded or has entered another state.

    Args:
        record: The command, its session and every state so far; read only.
    """


@hookspec(firstresult=True)
def trainmon_open_store(url: str) -> Store | None:
    """Open a store for what the monitor keeps.

    A subclass of :class:`Store` with its abstract methods serves, and its sessions end with the
    monitor. One that sets ``durable`` and implements ``sessions``, ``load``, ``put_session`` and
    ``put_error`` as well brings them back.

    Args:
        url: As configured; its scheme says whose it is. ``memory:`` and ``sqlite:`` are taken.

    Returns:
        The store, or None where the scheme is another's.
    """


@hookspec(firstresult=True)
def trainmon_authenticate(metadata: Mapping[str, str]) -> Caller | None:
    """Say who calls.

    Where any plugin implements this, a caller whom none knows is refused, also while that plugin
    fails or is quarantined. A monitor does not start where an installed plugin does not run whose
    code names this hook, or cannot be read, unless ``TRAINMON_DISABLE_PLUGINS`` names the plugin.
    Commands are on record under the caller's name.

    Args:
        metadata: The request's metadata, names in lower case.

    Returns:
        The caller, or None where this plugin does not know them.
    """


# Everywhere.


@hookspec
def trainmon_cli(group: click.Group) -> None:
    """Add subcommands to ``trainmon``, with ``group.add_command``.

    Called by every ``trainmon`` command that is not trainmon's own: import nothing heavy before
    the subcommand runs. A name that is taken is refused.

    Args:
        group: The group ``trainmon``.
    """
