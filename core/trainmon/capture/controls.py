"""Control points: where a training takes its commands, between two batches, on its own thread.

A control point without a command costs one look at shared memory. A pause waits here; it ends on
resume, on stop, on Ctrl-C, or when the link to the monitor has been gone too long.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from trainmon._guard import describe
from trainmon.capture.door import log
from trainmon.channel import Kind, TrainerChannel, Word, unpack
from trainmon.errors import StopTraining
from trainmon.events import (
    ControlCommand,
    ControlKind,
    ControlOutcome,
    ControlSpec,
    ControlType,
)

if TYPE_CHECKING:
    from trainmon.capture.ranks.peers import Peers
    from trainmon.capture.relay_process import RelayProcess

__all__ = ["ControlPoint", "Knob", "command_from", "spec_fields"]

_REMEMBERED = 256
_WAIT_S = 0.25
#: Name of the resume by which a rank whose link is gone asks the others to end a pause, and how
#: long it waits after they refused.
_ORPHANED = "orphaned pause"
_ASK_AGAIN_S = 10.0
#: As plain numbers: an enumeration's members are looked up anew each time, here at every step.
_COMMANDS, _PAUSED = int(Word.COMMANDS), int(Word.PAUSED)


@dataclass
class Knob:
    """A control the user declared in one line."""

    spec: ControlSpec
    set: Callable[[float], object]
    get: Callable[[], float] | None = None

    def value(self) -> float | None:
        """Return the value in force; None where it cannot be read."""
        return None if self.get is None else float(self.get())


def command_from(record: dict[str, Any]) -> ControlCommand:
    """Return the command of a COMMAND record.

    Raises:
        ValueError: Its kind is not known here.
    """
    known = {field.name for field in fields(ControlCommand)}
    values = {name: value for name, value in record.items() if name in known}
    return ControlCommand(**{**values, "kind": ControlKind(values["kind"])})


def spec_fields(spec: ControlSpec) -> dict[str, Any]:
    """Return a ControlSpec as a record holds it."""
    return {**asdict(spec), "type": spec.type.value}


class ControlPoint:
    """Takes commands from the relay, has them carried out, and reports what became of them.

    Args:
        channel: Where commands come from.
        relay: Woken for reports, waited on in a pause.
        apply: Asks the session's adapter; None: not its affair.
        report: Writes a record.
        next_step: Returns the global step that the next batch will end.
        state: Returns the TrainingStatus of the run, without its prefix.
        failed: Told what went wrong in here.
        orphan_timeout_s: How long a pause outlives the link.
    """

    def __init__(
        self,
        channel: TrainerChannel,
        relay: RelayProcess,
        apply: Callable[[ControlCommand], ControlOutcome | None],
        report: Callable[[Kind, dict[str, Any]], None],
        next_step: Callable[[], int],
        state: Callable[[], str],
        failed: Callable[[str, Exception], None],
        orphan_timeout_s: float,
    ) -> None:
        self._commands = channel.commands
        self._words = channel.block.words
        self._relay = relay
        self._apply = apply
        self._report = report
        self._next_step = next_step
        self._state = state
        self._failed = failed
        self._orphan_timeout_s = orphan_timeout_s
        self._seen = 0
        self._results: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._unread: list[tuple[int, dict[str, Any], Callable[[], float | None]]] = []
        self._asked: set[str] = set()
        self._own_resume = ""
        self._ask_again_s = 0.0
        self.knobs: dict[str, Knob] = {}
        self.peers: Peers | None = None
        """The other ranks of the run; a command then takes effect on all at the same step."""
        self.check: Callable[[ControlCommand], str] = lambda _: ""
        """Returns what the session's adapter has against a command, without carrying it out."""
        self._state_before = "RUNNING"
        self.paused_by = ""
        self.stop: ControlCommand | None = None

    @property
    def paused(self) -> bool:
        """Whether the training waits here."""
        return bool(self._words[Word.PAUSED])

    def visit(self) -> None:
        """Carry out what has come; wait while paused.

        Raises:
            StopTraining: Someone asked the run to stop.
        """
        if self._unread:
            self._read_back()
        words, peers = self._words, self.peers
        if words[_COMMANDS] != self._seen:
            self._take()
        if peers is not None and not peers.alone:
            peers.visit(self._next_step())
        if words[_PAUSED]:
            self._wait()
        if self.stop is not None:
            raise StopTraining(self.stop.command_id, self.stop.issued_by)

    def asked(self, stop: StopTraining) -> bool:
        """Return whether a StopTraining is of this session, or of nobody."""
        own = self.stop.command_id if self.stop is not None else ""
        return stop.command_id in ("", own)

    def close(self) -> None:
        """Keep nothing of the user's."""
        self.peers = None
        self.knobs.clear()
        self._unread.clear()

    def leave(self, timeout_s: float) -> None:
        """Leave a pause by force, and the other ranks: the session ends. Waits at most so long."""
        self._words[Word.PAUSED] = 0
        if self.peers is not None:
            self.peers.close(timeout_s)

    # What the ranks' council has done by this one.

    def objection(self, command: ControlCommand) -> str:
        """Return why the command cannot be carried out here; empty where it can."""
        if command.kind is ControlKind.PAUSE:
            return "the training is stopping" if self.stop is not None else ""
        if command.kind is ControlKind.RESUME:
            return self._objection_to_resume(command)
        knob = self.knobs.get(command.name or command.kind.value)
        return self.check(command) if knob is None else _objection(knob, command.value)

    def _objection_to_resume(self, command: ControlCommand) -> str:
        if not self.paused:
            return "the training is not paused"
        # As long as one rank can be told to resume, nobody's pause is orphaned.
        if command.name == _ORPHANED and not self._orphaned():
            return "its link to the monitor is there"
        return ""

    def expired(self, command: ControlCommand) -> bool:
        """Return whether a command's time to live has passed; then it is told."""
        if command.expires_at_s is None or time.monotonic() <= command.expires_at_s:
            return False
        self._finish(command, "EXPIRED", ControlOutcome(False, "its time to live had passed"))
        return True

    def carry_out(self, command: ControlCommand) -> None:
        """Do what all ranks do now; only the rank that was asked reports it."""
        known = self._results.get(command.command_id)
        if known is None:
            self._do(command)
        elif command.command_id in self._asked:  # it came to two ranks, one after the other
            self._asked.discard(command.command_id)
            self._report(Kind.RESULT, known)

    def refuse(self, command: ControlCommand, reason: str) -> None:
        """Tell that a command will not be carried out."""
        if command.command_id == self._own_resume:
            self._own_resume = ""
            self._ask_again_s = time.monotonic() + _ASK_AGAIN_S
        elif command.command_id in self._results:  # done already, as another rank proposed it
            self.carry_out(command)
        else:
            self._finish(command, "REJECTED", ControlOutcome(False, reason))

    def end_pause(self, reason: str) -> None:
        """End a pause that nobody asked to end, and tell why."""
        if self._words[Word.PAUSED]:
            log.warning("trainmon: the pause ended by itself: %s", reason)
            self._words[Word.PAUSED] = 0
            self._status(self._state_before, f"the pause ended by itself: {reason}")

    def doubt(self, reason: str) -> None:
        """Tell that other ranks may have done what this one was not told to do."""
        self._failed("a command that the ranks had not decided", RuntimeError(reason))

    # A pause.

    def _wait(self) -> None:
        try:
            while self._words[Word.PAUSED] and self.stop is None:
                self._rest()
                self._relay.check(time.monotonic_ns())
                if self._words[Word.COMMANDS] != self._seen:
                    self._take()
                if self.peers is not None:
                    self.peers.visit(self._next_step())
                self._leave_if_orphaned()
        finally:
            if self._words[Word.PAUSED]:
                self._words[Word.PAUSED] = 0
                self._status("STOPPING" if self.stop else self._state_before)

    def _rest(self) -> None:
        among_ranks = self.peers is not None and self.peers.rest()
        self._relay.wait(0.0 if among_ranks else _WAIT_S)

    def _away_s(self) -> float:
        """Return how long nobody has been able to end the pause from afar."""
        # A relay that is dead or stopped can say no more that the link is lost.
        since = (self._words[Word.LINK_LOST_NS], self._words[Word.RELAY_ALIVE_NS])
        now_ns = time.monotonic_ns()
        return max((now_ns - each for each in since if each), default=0) / 1e9

    def _orphaned(self) -> str:
        """Return why nobody can end the pause any more; empty where somebody can."""
        lost_s = self._away_s()
        if lost_s <= self._orphan_timeout_s:
            return ""
        return (
            f"the monitor has been away for {lost_s:.0f} s "
            f"(TRAINMON_PAUSE_ORPHAN_TIMEOUT is {self._orphan_timeout_s:g})"
        )

    def _leave_if_orphaned(self) -> None:
        reason = self._orphaned() if self._words[Word.PAUSED] else ""
        if not reason:
            return
        if self.peers is None or not self.peers.joined:
            self.end_pause(reason)
        elif not self._own_resume and time.monotonic() >= self._ask_again_s:
            # The others wait at this step, too: it ends on all, or on none.
            log.warning("trainmon: the pause is to end on all ranks: %s", reason)
            self._own_resume = uuid.uuid4().hex
            resume = ControlCommand(self._own_resume, ControlKind.RESUME, "trainmon", _ORPHANED)
            self.peers.ask(resume)

    def _take(self) -> None:
        """Carry out every command that lies there; one that cannot be read harms no other."""
        told = self._words[Word.COMMANDS]
        while (payload := self._commands.read()) is not None:
            self._commands.release()
            try:
                kind, record = unpack(payload)
                if kind is Kind.COMMAND and isinstance(record, dict):
                    self._receive(record)
            except Exception as error:  # noqa: BLE001 - the door of a command; told, the others go on
                self._failed("control_point", error)
        if not self._commands.used:  # else the newest is not whole yet: look again next time
            self._seen = told

    def _receive(self, record: dict[str, Any]) -> None:
        try:
            command = command_from(record)
        except (KeyError, TypeError, ValueError) as error:
            command = ControlCommand(str(record.get("command_id", "")), ControlKind.SET_CONTROL)
            self._asked.add(command.command_id)
            self._finish(command, "REJECTED", ControlOutcome(False, f"not understood: {error}"))
            return
        self._handle(command)

    def _handle(self, command: ControlCommand) -> None:
        known = self._results.get(command.command_id)
        if known is not None:  # sent again after a link or a relay was lost: never done twice
            self._report(Kind.RESULT, known)
            return
        if command.command_id in self._asked:
            return
        # Only what this rank was asked is answered by it, also where that is a refusal.
        self._asked.add(command.command_id)
        if self.expired(command):
            return
        if self.peers is not None and self.peers.needed():
            self.peers.ask(command)
        else:
            self._do(command)

    def _do(self, command: ControlCommand) -> None:
        try:
            outcome = self._carry_out(command)
        except StopTraining:  # an adapter's way to end its framework's loop
            self.stop = command
            outcome = ControlOutcome(applied=True)
        except Exception as error:  # noqa: BLE001 - a stranger's control: the reason goes on record
            outcome = ControlOutcome(False, describe(error))
        self._finish(command, "APPLIED" if outcome.applied else "REJECTED", outcome)

    def _carry_out(self, command: ControlCommand) -> ControlOutcome:
        if command.kind is ControlKind.PAUSE:
            return self._pause(command)
        if command.kind is ControlKind.RESUME:
            return self._resume(command)
        knob = self.knobs.get(command.name or command.kind.value)
        if knob is not None:
            return _turn(knob, command.value)
        outcome = self._apply(command)
        if outcome is not None:
            return outcome
        if command.kind is ControlKind.STOP:
            self.stop = command
            self._status("STOPPING", f"stop asked for by {command.issued_by or 'a viewer'}")
            return ControlOutcome(applied=True)
        offered = ", ".join(sorted(self.knobs)) or "none"
        return ControlOutcome(
            False, f"unknown control {command.name or command.kind.value!r}; declared: {offered}"
        )

    def _pause(self, command: ControlCommand) -> ControlOutcome:
        if self.stop is not None:
            return ControlOutcome(False, "the training is stopping")
        self._own_resume, self._ask_again_s = "", 0.0
        if self._words[Word.PAUSED]:
            return ControlOutcome(True, f"already paused by {self.paused_by or 'a viewer'}")
        self.paused_by = command.issued_by
        # A pause may come in the midst of an evaluation, which then goes on.
        self._state_before = "EVALUATING" if self._state() == "EVALUATING" else "RUNNING"
        self._words[Word.PAUSED] = 1
        self._status("PAUSED", f"paused by {command.issued_by or 'a viewer'}")
        return ControlOutcome(applied=True)

    def _resume(self, command: ControlCommand) -> ControlOutcome:
        if not self._words[Word.PAUSED]:
            return ControlOutcome(False, "the training is not paused")
        if command.name == _ORPHANED:
            self.end_pause(self._orphaned() or "the link to the monitor is gone on every rank")
            return ControlOutcome(applied=True)
        self._words[Word.PAUSED] = 0
        self._status(self._state_before)
        return ControlOutcome(applied=True)

    def _finish(self, command: ControlCommand, state: str, outcome: ControlOutcome) -> None:
        result = {
            "command_id": command.command_id,
            "state": state,
            "applied_at_step": self._next_step() if state == "APPLIED" else None,
            "previous_value": _number(outcome.previous_value),
            "applied_value": _number(outcome.applied_value),
            "message": str(outcome.message),
            "time_ms": time.time() * 1e3,
        }
        asked = command.command_id in self._asked or self.peers is None
        self._asked.discard(command.command_id)
        self._remember(result)
        if asked:
            self._report(Kind.RESULT, result)
        elif not outcome.applied:
            error = RuntimeError(f"other ranks may have done it, this one not: {outcome.message}")
            self._failed(f"{command.kind.value}, as all ranks agreed", error)
        if asked and outcome.applied and outcome.read_back is not None:
            self._unread.append((self._next_step(), result, outcome.read_back))

    def _remember(self, result: dict[str, Any]) -> None:
        self._results[result["command_id"]] = result
        while len(self._results) > _REMEMBERED:
            self._results.popitem(last=False)

    def _read_back(self) -> None:
        """Report the values in force now that a step was made with them."""
        steps = self._next_step()
        waiting, self._unread = self._unread, []
        for since, result, read in waiting:
            if since >= steps:
                self._unread.append((since, result, read))
                continue
            try:
                value = _number(read())
            except Exception as error:  # noqa: BLE001 - a stranger's control; told, the others go on
                self._failed("control_point, reading back", error)
                continue
            effective = {**result, "effective_value": value, "time_ms": time.time() * 1e3}
            self._remember(effective)
            self._report(Kind.RESULT, effective)

    def _status(self, status: str, message: str = "") -> None:
        fields = {
            "status": status,
            "message": message,
            "time_ms": time.time() * 1e3,
            "global_step": self._next_step() - 1 if self._next_step() else None,
        }
        self._report(Kind.STATUS, fields)


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _turn(knob: Knob, value: float | None) -> ControlOutcome:
    """Set a declared control, checked against what it declared."""
    spec = knob.spec
    objection = _objection(knob, value)
    if objection:
        return ControlOutcome(False, objection)
    if value is None or spec.type is ControlType.TRIGGER:
        knob.set(0.0)
        return ControlOutcome(applied=True)
    previous = knob.value()
    knob.set(value)
    knob.spec = replace(spec, current_value=value)
    return ControlOutcome(True, "", previous, value, knob.value if knob.get else None)


def _objection(knob: Knob, value: float | None) -> str:
    spec = knob.spec
    if spec.unavailable_reason or spec.type is ControlType.TRIGGER:
        return spec.unavailable_reason
    return _problem(spec, value)


def _problem(spec: ControlSpec, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return f"{spec.name} cannot be {value}: expected a finite number"
    low = 0.0 if spec.type in (ControlType.BOOLEAN, ControlType.CHOICE) else spec.minimum
    high = {ControlType.BOOLEAN: 1.0, ControlType.CHOICE: len(spec.choices) - 1.0}.get(
        spec.type, spec.maximum
    )
    if (low is not None and value < low) or (high is not None and value > high):
        return f"{spec.name} cannot be {value:g}: its range is {low} to {high}"
    if spec.type is not ControlType.NUMBER and value != int(value):
        return f"{spec.name} cannot be {value:g}: expected a whole number"
    return ""
