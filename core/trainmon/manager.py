"""The plugins of this process, called through one typed method a hook.

No call raises for what a plugin did. Adapter hooks take the name of the session's own adapter and
ask that plugin alone, directly; the other hooks go to every plugin, through pluggy.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from trainmon._guard import PluginState
from trainmon._registry import HOOKS, PluginRegistry, PluginRow, Role
from trainmon.config import Settings
from trainmon.errors import PluginError
from trainmon.events import ControlOutcome
from trainmon.plugin import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import click

    from trainmon.channel.records import StepRecord
    from trainmon.events import (
        BatchEvent,
        ControlCommand,
        ControlSpec,
        EpochEvent,
        FrameEvent,
        SessionInfo,
    )
    from trainmon.monitor.store.base import Store
    from trainmon.session import Session
    from trainmon.v1.control_pb2 import CommandRecord, CommandResult
    from trainmon.v1.dashboard_pb2 import SessionSummary
    from trainmon.v1.telemetry_pb2 import EpochData, StatusUpdate, TelemetryRequest

__all__ = ["HOOKS", "PluginManager", "PluginRow", "PluginState", "Role", "get_manager"]


class PluginManager(PluginRegistry):
    """The plugins of one process, with one method a hook; arguments as of PluginRegistry."""

    # Adapter hooks: one plugin, by name, directly.

    def _ask(self, adapter: str, hook: str, *values: object) -> Any:
        hooks = self._direct.get(adapter)
        call = hooks.get(hook) if hooks is not None else None
        if call is None:
            return None
        return self._doors[adapter].ask(values[0] if values else None, call, *values)

    def instrument(self, adapter: str) -> None:
        """Let an adapter attach to its framework."""
        self._ask(adapter, "trainmon_instrument")

    def collect_batch(self, adapter: str, session: Session, raw: Any) -> BatchEvent | None:
        """Return the samples of what an adapter captured; None where it has none or raised."""
        answer: BatchEvent | None = self._ask(adapter, "trainmon_collect_batch", session, raw)
        return answer

    def collect_epoch(self, adapter: str, session: Session, raw: Any) -> EpochEvent | None:
        """Return the epoch of what an adapter captured; None where it has none or raised."""
        answer: EpochEvent | None = self._ask(adapter, "trainmon_collect_epoch", session, raw)
        return answer

    def declare_controls(self, adapter: str, session: Session, raw: Any) -> Sequence[ControlSpec]:
        """Return the controls an adapter offers; empty where it has none or raised."""
        return self._ask(adapter, "trainmon_declare_controls", session, raw) or ()

    def check_control(self, adapter: str, session: Session, command: ControlCommand) -> str:
        """Return why an adapter would refuse a command; empty where it would not.

        One that raised or is quarantined refuses.
        """
        reason, trouble = self._ask_for_sure(adapter, "trainmon_check_control", session, command)
        return trouble or str(reason or "")

    def apply_control(
        self, adapter: str, session: Session, command: ControlCommand
    ) -> ControlOutcome | None:
        """Let an adapter carry out a command.

        Returns:
            What became of it, a refusal with the reason where the adapter raised or is
            quarantined. None: it is not the adapter's affair.
        """
        outcome, trouble = self._ask_for_sure(adapter, "trainmon_apply_control", session, command)
        if trouble:
            return ControlOutcome(applied=False, message=trouble)
        told: ControlOutcome | None = outcome
        return told

    def _ask_for_sure(self, adapter: str, hook: str, *values: object) -> tuple[Any, str]:
        """Return what an adapter answers, and why that is no answer: it raised, or does not run."""
        door = self._doors.get(adapter)
        health = door.hooks.get(hook) if door is not None else None
        if door is None or health is None:
            return None, ""
        if door.state is not PluginState.ACTIVE:
            return None, f"plugin {adapter} is {door.state.value}: {door.last_error}"
        failed_before = health.failures
        answer = self._ask(adapter, hook, *values)
        raised = health.failures != failed_before
        return answer, f"plugin {adapter} raised in {door.last_error}" if raised else ""

    # Observer hooks: every plugin, in the relay.

    def session_started(self, session: SessionInfo) -> None:
        """Tell that a run has started."""
        self._hook.trainmon_session_started(session=session)

    def session_ended(self, session: SessionInfo, ended: StatusUpdate) -> None:
        """Tell that a run has ended."""
        self._hook.trainmon_session_ended(session=session, ended=ended)

    def batch_ended(self, session: SessionInfo, batch: StepRecord) -> None:
        """Tell that a batch has ended."""
        self._hook.trainmon_batch_ended(session=session, batch=batch)

    def epoch_ended(self, session: SessionInfo, epoch: EpochData) -> None:
        """Tell that an epoch has ended."""
        self._hook.trainmon_epoch_ended(session=session, epoch=epoch)

    def control_applied(self, session: SessionInfo, result: CommandResult) -> None:
        """Tell that a command has reached its end."""
        self._hook.trainmon_control_applied(session=session, result=result)

    def render_batch(self, session: SessionInfo, batch: FrameEvent) -> Sequence[Any] | None:
        """Return the first plugin's pictures of the samples; None: show them as they are."""
        pictures: Sequence[Any] | None = self._hook.trainmon_render_batch(
            session=session, batch=batch
        )
        return pictures

    # Monitor hooks: every plugin, in the monitor.

    def monitor_session_changed(self, session_id: str, summary: SessionSummary) -> None:
        """Tell that a session has registered, changed its state or ended."""
        self._hook.trainmon_monitor_session_changed(session_id=session_id, summary=summary)

    def monitor_telemetry(self, session_id: str, request: TelemetryRequest) -> None:
        """Tell that a message has arrived."""
        self._hook.trainmon_monitor_telemetry(session_id=session_id, request=request)

    def monitor_command_changed(self, record: CommandRecord) -> None:
        """Tell that a command has entered a state."""
        self._hook.trainmon_monitor_command_changed(record=record)

    def open_store(self, url: str) -> Store | None:
        """Return the first plugin's store for a URL; None: no plugin knows its scheme."""
        store: Store | None = self._hook.trainmon_open_store(url=url)
        return store

    @property
    def requires_authentication(self) -> bool:
        """Whether a caller whom :meth:`authenticate` does not know is to be refused."""
        return self.implements("trainmon_authenticate")

    def authenticate(self, metadata: Mapping[str, str]) -> Caller | None:
        """Return who calls; None: nobody knows them, or the answer names no caller."""
        answer = self._hook.trainmon_authenticate(metadata=metadata)
        return answer if isinstance(answer, Caller) else None

    def require_guards(self) -> None:
        """Refuse to go on without a plugin that may be the one to say who may call.

        Raises:
            PluginError: One does not run, and nobody disabled it.
        """
        missing = self.broken("trainmon_authenticate")
        if missing:
            names = ",".join(row.name for row in missing)
            told = "; ".join(f"{row.name}: {row.last_error}" for row in missing)
            raise PluginError(
                "a plugin that may say who may call (trainmon_authenticate) does not run "
                f"({told}): without it anyone could control every training. Mend it (see `trainmon "
                "plugins --verbose`), or do without it on purpose: "
                f"TRAINMON_DISABLE_PLUGINS={names}"
            )

    # Everywhere.

    def cli(self, group: click.Group) -> None:
        """Let every plugin add its subcommands."""
        self._hook.trainmon_cli(group=group)


class _ProcessWide:
    """Holds the one manager of this process."""

    def __init__(self) -> None:
        # Reentrant, for a plugin may ask for the manager while it is imported by it.
        self.lock = threading.RLock()
        self.manager: PluginManager | None = None


_process_wide = _ProcessWide()


def get_manager(role: Role = "cli") -> PluginManager:
    """Return the manager of this process; the first call makes it and decides its role.

    A ``trainer`` loads nothing by itself: the session loads its own adapter with
    :meth:`PluginManager.load`, so that no observer is imported into a training. In every other
    role all installed plugins are loaded. Thread-safe.

    Raises:
        ConfigurationError: A TRAINMON_ variable cannot be used.
    """
    with _process_wide.lock:
        if _process_wide.manager is None:
            settings = Settings.from_environment()
            record = None if role == "cli" else settings.home / "plugins"
            _process_wide.manager = PluginManager(settings, role, record)
            if role != "trainer":
                _process_wide.manager.discover()
        return _process_wide.manager
