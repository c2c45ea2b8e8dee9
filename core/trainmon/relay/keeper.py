"""The relay's spool from start to end: opened, spoken of where it fails, left or removed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trainmon.config import Settings
from trainmon.relay.spool import Spool, SpoolBusyError, spool_root
from trainmon.relay.spool.folder import SavedRun
from trainmon.relay.spool.waiting import abandoned
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)
#: How long the relay before this one may take to let go of the spool, in seconds.
_PATIENCE_S, _LOOK_S = 10.0, 0.05
#: How often a spool that could not be opened is tried again.
_RETRY_S = 5.0


class Keeper:
    """Holds the spool of one producer.

    Args:
        settings: Where it is, and how large it may become.
        producer_id: Whose it is.
    """

    def __init__(self, settings: Settings, producer_id: str) -> None:
        self._settings = settings
        self._producer_id = producer_id
        self._told: set[str] = set()
        self._retry_s = 0.0
        self._untold: list[str] = []
        self._show: Callable[[str], None] = self._untold.append
        self.spool: Spool | None = None

    @property
    def folder(self) -> Path:
        """Where the spool is, or should be."""
        return self.spool.folder if self.spool else spool_root(self._settings.home)

    def show_by(self, show: Callable[[str], None]) -> None:
        """Give what people are to read on the page to ``show``, from the beginning."""
        self._show = show
        for text in self._untold:
            show(text)
        self._untold.clear()

    def open(self) -> None:
        """Open the spool; where another relay has it, wait for that one to end."""
        if not self._producer_id:
            return
        deadline_s = time.monotonic() + _PATIENCE_S
        while not self._try(patient=time.monotonic() < deadline_s):
            time.sleep(_LOOK_S)

    def _try(self, *, patient: bool) -> bool:
        """Open the spool, or say why not; False: it is worth to wait."""
        try:
            self._open()
        except SpoolBusyError as error:
            if patient:
                return False
            self._could_not(error)
        except OSError as error:
            self._could_not(error)
        return True

    def _open(self) -> None:
        settings = self._settings
        self.spool = Spool.of(settings.home, self._producer_id, settings.spool_bytes)
        torn = self.spool.journal.torn_bytes
        if torn:
            # The end of a write that a kill cut short: its records are still in the ring.
            _log.info("%d bytes at the end of %s were not whole", torn, self.spool.folder)

    def open_again(self, now_s: float) -> Spool | None:
        """Try again, now and then, where the spool could not be opened; return a new one."""
        if self.spool is not None or not self._producer_id or now_s < self._retry_s:
            return None
        self._retry_s = now_s + _RETRY_S
        with suppress(SpoolBusyError, OSError):
            self._open()
        return self._if_new()

    def _if_new(self) -> Spool | None:
        """Return the spool, unless its numbers are in use: then it stays for `trainmon sync`."""
        if self.spool is not None and self.spool.journal.last:
            self.spool.close()
            self.spool = None
            self._retry_s = float("inf")
        return self.spool

    def keep_run(
        self, registration: RegisterTrainingSessionRequest, session_id: str, began_s: float
    ) -> None:
        """Keep whose records these are, for whoever delivers them when this relay is gone."""
        if self.spool is None:
            return
        saved = RegisterTrainingSessionRequest()
        saved.CopyFrom(registration)
        saved.session_id = session_id
        run = SavedRun(saved, began_s)
        if run != self.spool.run:
            try:
                self.spool.keep_run(run)
            except OSError as error:
                self.failed(error)

    def failed(self, error: OSError) -> None:
        """Say that the disk fails; of each kind once."""
        self._could_not(error)

    def _could_not(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        kind = str(getattr(error, "errno", None) or reason)
        if kind in self._told:
            return
        self._told.add(kind)
        self._retry_s = time.monotonic() + _RETRY_S
        text = (
            f"the spool in {self.folder} cannot be written ({reason}): until it can, at most "
            f"{self._settings.outbox_bytes} bytes (TRAINMON_OUTBOX_BYTES) are kept in memory for "
            "the monitor, and would be lost with this relay; make room there, or set TRAINMON_HOME "
            "to a folder that can be written and locked; training goes on (said once)"
        )
        _log.warning("%s", text)
        self._show(text)

    def offer_others(self) -> None:
        """Say that earlier runs wait to be delivered, if any do."""
        own = self.spool.folder if self.spool else None
        found = abandoned(self._settings.home, own)
        if found:
            runs = "1 earlier run waits" if len(found) == 1 else f"{len(found)} earlier runs wait"
            _log.warning(
                "%s in %s to be delivered to a monitor: `trainmon sync` does it",
                runs,
                spool_root(self._settings.home),
            )

    def end(self, *, delivered: bool) -> None:
        """Let go of the spool; where everything was delivered it is removed."""
        if self.spool is not None:
            if delivered:
                self.spool.remove()
            else:
                self.spool.close()
