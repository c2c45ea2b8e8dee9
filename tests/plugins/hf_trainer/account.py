"""What the sessions of a process were told, instead of a relay that tells a monitor."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from trainmon.adapters import TokenTexts
from trainmon.events import BatchEvent, EpochEvent, FrameRequest
from trainmon.session import Session


class Account:
    """What sessions were told since the last training; each step is asked for a picture."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.losses: list[float] = []
        self.metrics: list[dict[str, float]] = []
        self.events: list[BatchEvent] = []
        self.epochs: list[EpochEvent] = []
        self.notes: list[str] = []
        self.sessions: list[Session] = []
        self.steps: list[tuple[int, int, int]] = []
        self.closed: list[tuple[Any, ...]] = []
        self.knobs: dict[str, Any] = {}

    def listen(self) -> None:
        """Hear what sessions are told."""
        self._listen_to_steps()
        self._listen_to_notes()
        self._listen_to_knobs()
        epoch_ended, close = Session.epoch_ended, Session.close

        def hear_epoch(session: Session, raw: Any) -> None:
            self.epochs.append(raw)
            epoch_ended(session, raw)

        def hear_end(session: Session, *told: Any) -> None:
            self.closed.append(told)
            close(session, *told)

        Session.epoch_ended = hear_epoch  # type: ignore[method-assign]
        Session.close = hear_end  # type: ignore[method-assign, assignment]

    def _listen_to_steps(self) -> None:
        step_ended = Session.step_ended

        def hear(session: Session, raw: Any, **told: Any) -> None:
            self.steps.append((session.global_step, session.epoch, session.attempt))
            self.losses.append(float(told["loss"]))
            self.metrics.append(dict(told.get("metrics") or {}))
            event = None if raw is None else raw.samples()
            if event is not None:
                self.events.append(_read(event))
            if session not in self.sessions:
                self.sessions.append(session)
            step_ended(session, None, **told)

        Session.begin_step = lambda _: FrameRequest(16, 64)  # type: ignore[method-assign, assignment, misc]
        Session.step_ended = hear  # type: ignore[method-assign, assignment]

    def _listen_to_notes(self) -> None:
        failed, describe = Session.failed, Session.describe

        def hear_failure(session: Session, where: str, error: BaseException) -> None:
            self.notes.append(f"FAILED {where}: {error!r}")
            failed(session, where, error)

        def hear_notes(session: Session, **told: Any) -> None:
            self.notes.extend(told.get("notes", ()))
            describe(session, **told)

        Session.failed = hear_failure  # type: ignore[method-assign]
        Session.describe = hear_notes  # type: ignore[method-assign, assignment]

    def _listen_to_knobs(self) -> None:
        add_control = Session.add_control

        def hear(session: Session, name: str, *given: Any, **spec: Any) -> None:
            self.knobs[name] = (given[0], spec)
            add_control(session, name, *given, **spec)

        Session.add_control = hear  # type: ignore[method-assign, assignment]

    def open_session(self) -> Session:
        """Return the session of the training under way."""
        (session,) = (each for each in self.sessions if not each.closed)
        return session

    def turn(self, name: str, value: float = 1.0) -> None:
        """Turn a knob, as a command does at the control point."""
        self.knobs[name][0](value)

    def facts(self, **more: Any) -> dict[str, Any]:
        """Return what was told, and forget it."""
        last = self.events[-1] if self.events else None
        told = vars(last).items() if last is not None else ()
        facts = {
            "losses": self.losses,
            "metrics": self.metrics,
            "steps": self.steps,
            "events": len(self.events),
            "shown": {name: _plain(value) for name, value in told if value is not None},
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "notes": self.notes,
            "sessions": len(self.sessions),
            "closed": self.closed,
            "refusals": {name: _reason(spec) for name, (_, spec) in self.knobs.items()},
            **more,
        }
        self.forget()
        return facts


def _reason(spec: dict[str, Any]) -> str:
    return str(spec.get("unavailable_reason", ""))


def _read(event: BatchEvent) -> BatchEvent:
    """Read what is only decoded where it is read, as a session does within the step."""
    texts = {name: list(v) for name, v in vars(event).items() if isinstance(v, TokenTexts)}
    return replace(event, **texts)


def _plain(value: Any) -> Any:
    if hasattr(value, "shape"):
        return list(value.shape)
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "tolist"):
        return [each.tolist() for each in value]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [{name: array.tolist() for name, array in each.items()} for each in value]
    return value if isinstance(value, (str, int, float, list, tuple, dict)) else str(value)


class AtStep(TrainerCallback):
    """Does something at the end of one update."""

    def __init__(self, step: int, act: Callable[[dict[str, Any]], object]) -> None:
        self.step = step
        self.act = act

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self.step:
            self.act({"args": args, "state": state, "control": control, **given})


ACCOUNT = Account()


def main(trainings: Sequence[Callable[[Path], dict[str, Any]]]) -> None:
    """Run each training in ``sys.argv[1]`` and write what it says to ``facts.json`` there."""
    torch.set_num_threads(1)
    ACCOUNT.listen()
    facts: dict[str, Any] = {}
    for training in trainings:
        folder = Path(sys.argv[1]) / training.__name__
        try:
            facts[training.__name__] = training(folder)
        except Exception:  # noqa: BLE001 - told with the facts, the others go on
            facts[training.__name__] = {"error": traceback.format_exc(), **ACCOUNT.facts()}
    (Path(sys.argv[1]) / "facts.json").write_text(json.dumps(facts, default=str))
