"""Memory that a training shares with its relay: anonymous, mapped by both, gone with the last.

A memfd where the system has one (Linux) and gives it: it is not bound by the size of /dev/shm, as
small as 64 MiB in containers. Else an unlinked temporary file. Pages cost memory only once touched.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress

__all__ = ["SharedMemory", "open_anonymous"]


def open_anonymous(size: int) -> int:
    """Return the descriptor of an unnamed file of ``size`` zeroed bytes; not inheritable.

    Raises:
        OSError: The system has no memory or descriptors left.
    """
    descriptor = _open_memfd() if hasattr(os, "memfd_create") else _open_file()
    try:
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_memfd() -> int:
    try:
        return os.memfd_create("trainmon", os.MFD_CLOEXEC)
    except OSError as refused:  # a sandbox may forbid it, and allow files
        try:
            return _open_file()
        except OSError:
            raise refused from None


def _open_file() -> int:
    descriptor, path = tempfile.mkstemp(prefix="trainmon-")
    os.unlink(path)  # noqa: PTH108 - a path just made by mkstemp, as the text it gave
    return descriptor


class SharedMemory:
    """A mapped file descriptor. The creator passes ``descriptor`` to the relay it starts.

    Args:
        descriptor: File descriptor to map; owned from now on. -1: memory of this process alone.
        size: Bytes to map.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self._map = mmap.mmap(descriptor, size)
        self.view = memoryview(self._map)
        self.closed = False

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """Make ``size`` bytes of zeroed memory.

        Raises:
            OSError: The system has no memory or descriptors left.
        """
        descriptor = open_anonymous(size)
        try:
            return cls(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Unmap and close; idempotent. A view somebody still holds keeps the map alive."""
        if self.closed:
            return
        self.closed = True
        with suppress(BufferError):
            self.view.release()
        with suppress(BufferError):
            self._map.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1
