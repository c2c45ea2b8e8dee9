"""What is known of the run: as it was registered, what became known since, what it does now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

from trainmon import wire
from trainmon.events import SessionInfo
from trainmon.v1.telemetry_pb2 import SessionDetails, StatusUpdate, TrainerLiveness

__all__ = ["RunState"]

#: Notes kept at most: people read no more.
_MAX_NOTES = 50
_MAX_NOTE_CHARACTERS = 500


class RunState:
    """The run, as this relay knows it.

    Args:
        hello: What the training told at this relay's start.
    """

    def __init__(self, hello: Mapping[str, Any]) -> None:
        self.info: dict[str, Any] = dict(hello.get("info") or {})
        self.registration = wire.registration(self.info)
        self.status = str(hello.get("status") or "STARTING")
        self.message = str(hello.get("message") or "")
        self.notes: list[str] = []
        self._seen_notes: set[str] = set()
        self.learn(wire.session_details(hello.get("details") or {}))

    @property
    def final(self) -> bool:
        """Whether the run has said goodbye."""
        return self.status in wire.FINAL_STATUSES

    @property
    def session(self) -> SessionInfo:
        """The run as observers are told of it."""
        known = {item.name for item in fields_of(SessionInfo)}
        values = {name: value for name, value in self.info.items() if name in known}
        values["class_names"] = tuple(values.get("class_names") or ())
        return SessionInfo(**{"run_key": "", "producer_id": "", **values})

    def learn(self, details: SessionDetails) -> None:
        """Take in what became known."""
        wire.learn(self.registration, details)
        new = [note for note in details.notes if self._is_new(note)]
        del details.notes[:]
        details.notes.extend(new)
        self.notes.extend(new)

    def _is_new(self, note: str) -> bool:
        note = note[:_MAX_NOTE_CHARACTERS]
        if note in self._seen_notes or len(self._seen_notes) >= _MAX_NOTES:
            return False
        self._seen_notes.add(note)
        return True

    def enter(self, fields: Mapping[str, Any]) -> None:
        """Take in a STATUS or CLOSE record."""
        self.status = str(fields["status"])
        self.message = str(fields.get("message") or "")

    def announcement(
        self, trainer: TrainerLiveness, global_step: int | None, *, with_notes: bool
    ) -> StatusUpdate:
        """Return what the run does now, for a monitor that hears of it anew."""
        details = SessionDetails(notes=self.notes) if with_notes and self.notes else None
        fields = {"status": self.status, "message": self.message, "global_step": global_step}
        return wire.status_update(fields, trainer, details)
