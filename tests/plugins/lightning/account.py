"""What sessions are told, as facts that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainmon.events import BatchEvent, EpochEvent, FrameRequest
from trainmon.session import Session


class Account:
    """What sessions were told since the last training; each step is asked for a picture."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.losses: list[float | None] = []
        self.metrics: list[dict[str, float]] = []
        self.events: list[BatchEvent] = []
        self.epochs: list[EpochEvent] = []
        self.notes: list[str] = []
        self.sessions: list[Session] = []
        self.steps: list[tuple[int, int, int]] = []
        self.states: list[str] = []
        self.closed: list[tuple[str, str]] = []

    def listen(self) -> None:
        """Hear what sessions are told."""
        self._hear_steps()
        start, status, close = Session.start, Session.status, Session.close
        failed, describe, ended = Session.failed, Session.describe, Session.epoch_ended

        def hear_start(session: Session) -> None:
            self.sessions.append(session)
            start(session)

        def hear_failure(session: Session, where: str, error: BaseException) -> None:
            self.notes.append(f"FAILED {where}: {error!r}")
            failed(session, where, error)

        def hear_notes(session: Session, **told: Any) -> None:
            self.notes.extend(told.get("notes", ()))
            describe(session, **told)

        def hear_epoch(session: Session, raw: Any) -> None:
            self.epochs.append(raw)
            ended(session, raw)

        def hear_status(session: Session, state: str, message: str = "") -> None:
            self.states.append(state)
            status(session, state, message)

        def hear_close(session: Session, state: str = "COMPLETED", message: str = "") -> None:
            if not session.closed:
                self.closed.append((state, message))
            close(session, state, message)

        heard = {
            "start": hear_start, "failed": hear_failure, "describe": hear_notes,
            "epoch_ended": hear_epoch, "status": hear_status, "close": hear_close,
            "begin_step": lambda _: FrameRequest(16, 64),
        }  # fmt: skip
        for name, function in heard.items():
            setattr(Session, name, function)

    def _hear_steps(self) -> None:
        step_ended = Session.step_ended

        def hear(session: Session, raw: Any, **told: Any) -> None:
            self.steps.append((session.global_step, session.epoch, session.attempt))
            self.losses.append(None if told["loss"] is None else float(told["loss"]))
            self.metrics.append({name: float(value) for name, value in told["metrics"].items()})
            captured = raw()
            if captured:
                self.events.append(BatchEvent(**captured))
            step_ended(session, None, **told)

        Session.step_ended = hear  # type: ignore[method-assign, assignment]

    def facts(self, **more: Any) -> dict[str, Any]:
        """Return what was told, and forget it."""
        shown = vars(self.events[-1]) if self.events else {}
        facts = {
            "losses": self.losses,
            "metrics": self.metrics,
            "steps": self.steps,
            "events": len(self.events),
            "shown": {name: _plain(value) for name, value in shown.items() if value is not None},
            "epochs": [_epoch(each) for each in self.epochs],
            "notes": self.notes,
            "sessions": len(self.sessions),
            "info": [_info(each) for each in self.sessions],
            "states": self.states,
            "closed": self.closed,
            **more,
        }
        self._forget()
        return facts


def _info(session: Session) -> dict[str, Any]:
    info = session.info
    names = ("session_name", "class_names", "total_epochs", "batches_per_epoch", "run_key")
    return {**{name: getattr(info, name) for name in names}, "parameters": info.hyperparameters}


def _epoch(event: EpochEvent) -> dict[str, Any]:
    numbers = {name: value for name, value in vars(event).items() if name != "metrics"}
    return {name: None if value is None else float(value) for name, value in numbers.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "shape"):
        return list(value.shape)
    if isinstance(value, Sequence) and not isinstance(value, (str, list, tuple)):
        return [value[row] for row in range(len(value))]
    if isinstance(value, dict):
        return {
            name: getattr(each, "tolist", lambda each=each: each)() for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
