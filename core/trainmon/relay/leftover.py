"""What a relay that is gone has left: whose it is, and what has become of the training."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from trainmon import wire
from trainmon.errors import TrainmonError
from trainmon.relay.entry import RecordKind
from trainmon.relay.handover import Handover
from trainmon.relay.outbox import Outbox
from trainmon.relay.processes import process_began_s, relay_of
from trainmon.relay.spool import Spool
from trainmon.relay.spool.folder import SavedRun
from trainmon.v1.telemetry_pb2 import TelemetryRequest, TrainerLiveness

__all__ = ["Leftover", "SpoolGoneError", "UnusableSpoolError"]

#: When a process began moves with the clock of the machine, where that is set right. Another one
#: with the same id hardly ever began so close to the first.
_SAME_S = 30.0


class UnusableSpoolError(TrainmonError):
    """A folder that is no spool, or one of which nothing can be told.

    Args:
        folder: The folder.
        reason: Why.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"{folder} is left alone: {reason}")


class SpoolGoneError(TrainmonError):
    """A folder that is gone, or that holds nothing: its relay ended before it wrote, or after.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds nothing any more")


class Leftover:
    """One spool that nobody delivers, locked by this process.

    Args:
        folder: The spool.
        limit_bytes: Of disk it may take.

    Raises:
        SpoolBusyError: Another process has it.
        SpoolGoneError: It was delivered a moment ago, or nothing was ever in it; it is removed.
        UnusableSpoolError: Nothing can be told of it.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        try:
            self.spool = _opened(folder, limit_bytes)
        except OSError as error:
            raise UnusableSpoolError(folder, error.strerror or str(error)) from error
        run = self.spool.run
        if run is None:
            if not self.spool.journal.bytes:
                self.spool.remove()
                raise SpoolGoneError(folder)
            self.spool.close()
            raise UnusableSpoolError(
                folder, "its file `run`, which tells whose records it holds, is missing or corrupt"
            )
        self.run: SavedRun = run
        self.handover = Handover.unpack(self.spool.journal.newest.state)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.registration.session_name or self.run.registration.run_key

    @property
    def pid(self) -> int:
        """Process id of the training."""
        return self.run.registration.pid

    @property
    def here(self) -> bool:
        """Whether it was a training of this host."""
        return self.run.registration.hostname == socket.gethostname()

    @property
    def training_lives(self) -> bool:
        """Whether the training is still there, which will start another relay, or has not yet."""
        if self.handover.over or not self.here:
            return False
        began_s = process_began_s(self.pid)
        unknown = not self.run.trainer_began_s
        return bool(began_s) and (unknown or abs(began_s - self.run.trainer_began_s) < _SAME_S)

    @property
    def relay_pid(self) -> int:
        """Process id of the relay that is to deliver it; 0: there is none on this machine.

        Ask when the training was seen to be gone: none is started after that.
        """
        return relay_of(self.run.registration.producer_id) if self.here else 0

    @property
    def count(self) -> int:
        """Records of which no acknowledgment is known."""
        newest = self.spool.journal.newest
        return self.spool.journal.last - max(newest.acknowledged, self.spool.journal.first - 1)

    def tell_death(self, outbox: Outbox) -> None:
        """Say in the end how the run ended, where nobody could any more."""
        if self.handover.over or not self.here or not self.spool.journal.last:
            return
        fields = {
            "status": "FAILED",
            "message": f"the training process (pid {self.pid}) and its relay died",
            "time_ms": self.spool.journal.written_s * 1e3,
        }
        update = wire.status_update(fields, TrainerLiveness.TRAINER_LIVENESS_DIED)
        request = TelemetryRequest(status_update=update, timestamp_ms=update.timestamp_ms)
        outbox.add(RecordKind.STATUS, request, last=True)
        self.handover = Handover(self.handover.epochs, True, self.handover.losses)
        outbox.commit(self.spool.journal.newest.position, self.handover.pack)


def _opened(folder: Path, limit_bytes: int) -> Spool:
    """Open a spool, also one whose lock is lost; one that is gone is not made anew.

    Raises:
        SpoolGoneError: There is no folder, or there was nothing in it.
    """
    with suppress(FileNotFoundError):
        return Spool(folder, limit_bytes, make=False)
    try:
        folder.rmdir()  # all that is left where removing it was cut short
    except FileNotFoundError as error:
        raise SpoolGoneError(folder) from error
    except OSError:
        return Spool(folder, limit_bytes)
    raise SpoolGoneError(folder)
