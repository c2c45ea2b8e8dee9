"""The folder of one producer: its lock, its run, its frames."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from trainmon.errors import TrainmonError
from trainmon.relay.spool.frames import Frame
from trainmon.relay.spool.journal import Journal
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest

__all__ = ["LOCK_NAME", "SavedRun", "Spool", "SpoolBusyError", "folders_in", "spool_root"]

LOCK_NAME, _RUN = "lock", "run"
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
#: Of a file ``run``: "TMr1", CRC-32 of the rest, when the training's process began (s, epoch).
_RUN_HEAD = struct.Struct("<4sId")
_RUN_MAGIC = b"TMr1"
#: A spool is cut off in front by whole segments, so a full one has at least so many.
_SEGMENTS, _MOST_SEGMENT_BYTES = 16, 4 << 20
#: Of a disk so much is left free, or a twentieth of a small one; how often it is looked at, in s.
_MOST_LEFT_BYTES, _LOOK_S = 256 << 20, 1.0


def spool_root(home: Path) -> Path:
    """Return the folder that holds every producer's."""
    return home / "spool"


def folders_in(home: Path) -> Iterator[Path]:
    """Yield the folder of every producer, also of those that are delivered just now.

    One without its lock is a producer's, too: the lock was lost, or is the last that was removed.
    """
    with suppress(OSError):  # there is none, or it is not ours to read
        for entry in sorted(os.scandir(spool_root(home)), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


class SpoolBusyError(TrainmonError):
    """Another process writes or delivers this spool.

    Args:
        folder: The spool.
        holder: That process' id, as it wrote it down; 0: unknown.
    """

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.holder = holder
        super().__init__(f"{folder} is in use by process {holder or '(unknown)'}")


@dataclass(frozen=True)
class SavedRun:
    """Whose records these are."""

    registration: RegisterTrainingSessionRequest
    """As it was known last; with the session's id once a monitor gave one."""
    trainer_began_s: float
    """When the training's process began, in s since the epoch; 0: unknown."""


class Spool:
    """The spool of one producer, locked by this process.

    Args:
        folder: Where it is.
        limit_bytes: Of disk it is to take; :attr:`bytes` may exceed it by one frame.
        make: Make it where it is missing.

    Raises:
        SpoolBusyError: Another process has it.
        FileNotFoundError: It is missing, and not to be made.
        OSError: It cannot be read, written or locked.
    """

    def __init__(self, folder: Path, limit_bytes: int, *, make: bool = True) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._looked_s, self._free_bytes, self._left_bytes = float("-inf"), 0, 0
        self._lock = _locked(folder, make=make)
        try:
            segment_bytes = min(_MOST_SEGMENT_BYTES, max(4096, limit_bytes // _SEGMENTS))
            self.journal = Journal(folder, segment_bytes)
            self.run = _read_run(folder / _RUN)
        except BaseException:
            os.close(self._lock)
            raise

    @classmethod
    def of(cls, home: Path, producer_id: str, limit_bytes: int) -> Spool:
        """Open the spool of a producer.

        Raises:
            SpoolBusyError: Another process has it.
            OSError: It cannot be read, written or locked.
        """
        name = producer_id
        if not _SAFE.fullmatch(name):
            name = hashlib.sha256(producer_id.encode()).hexdigest()
        return cls(spool_root(home) / name, limit_bytes)

    def write(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            OSError: It could not be written, or would take the last room of the disk; nothing has
                changed.
        """
        self._leave_room()
        self.journal.write(frame)

    def _leave_room(self) -> None:
        """Refuse to fill a disk: a checkpoint of the training may need what is left."""
        now_s = time.monotonic()
        if now_s - self._looked_s > _LOOK_S:
            disk = os.statvfs(self.folder)
            self._looked_s = now_s
            self._free_bytes = disk.f_bavail * disk.f_frsize
            self._left_bytes = min(_MOST_LEFT_BYTES, disk.f_blocks * disk.f_frsize // 20)
        if self._free_bytes < self._left_bytes:
            raise OSError(
                errno.ENOSPC,
                f"{self._free_bytes >> 20} MiB are free, and {self._left_bytes >> 20} MiB are left "
                "to others",
            )

    def keep_run(self, run: SavedRun) -> None:
        """Keep whose records these are.

        Raises:
            OSError: It cannot be written; what was there is still there.
        """
        rest = struct.pack("<d", run.trainer_began_s) + run.registration.SerializeToString()
        data = _RUN_MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest
        passing = self.folder / f"{_RUN}.new"
        passing.write_bytes(data)
        passing.replace(self.folder / _RUN)
        self.run = run

    def remove(self) -> None:
        """Delete the folder: everything was delivered."""
        with suppress(OSError):  # what stays is found by `trainmon sync`, which tries again
            self.journal.remove()
            for name in (_RUN, f"{_RUN}.new", LOCK_NAME):
                (self.folder / name).unlink(missing_ok=True)
            self.folder.rmdir()
        self.close()

    def close(self) -> None:
        """Let go of the files and the lock; idempotent."""
        self.journal.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked(folder: Path, *, make: bool) -> int:
    """Return the descriptor that holds a folder's lock."""
    while True:
        if make:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / LOCK_NAME
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:  # it was removed a moment ago
            if make:
                continue
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(descriptor, path):
                with suppress(OSError):  # on a full disk nobody learns who we are
                    os.pwrite(descriptor, b"%-20d\n" % os.getpid(), 0)
                return descriptor
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise SpoolBusyError(folder, holder) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _read_run(path: Path) -> SavedRun | None:
    """Return whose records these are; None: nothing tells."""
    try:
        data = path.read_bytes()
        magic, checksum, began_s = _RUN_HEAD.unpack_from(data)
        if magic != _RUN_MAGIC or zlib.crc32(data[8:]) != checksum:
            return None
        registration = RegisterTrainingSessionRequest.FromString(data[_RUN_HEAD.size :])
    except (OSError, struct.error, DecodeError):
        return None
    return SavedRun(registration, began_s)
