"""Memory that a training shares with its relay: anonymous, mapped by both, gone with the last.

A memfd where the system has one (Linux): it is not bound by the size of /dev/shm, as small as
64 MiB in containers. Elsewhere an unlinked temporary file. Pages cost memory only once touched.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress

__all__ = ["SharedMemory", "open_anonymous"]


def open_anonymous(size: int) -> int:
    """Return the descriptor of an unnamed file of ``size`` zeroed bytes; not inheritable."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("trainmon", os.MFD_CLOEXEC)
    else:
        descriptor, path = tempfile.mkstemp(prefix="trainmon-")
        os.unlink(path)  # noqa: PTH108 - a path just made by mkstemp, as the text it gave
    os.ftruncate(descriptor, size)
    return descriptor


class SharedMemory:
    """A mapped file descriptor. The creator passes ``descriptor`` to the relay it starts.

    Args:
        descriptor: File descriptor to map; owned from now on.
        size: Bytes to map.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self._map = mmap.mmap(descriptor, size)
        self.view = memoryview(self._map)

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
        if self.descriptor < 0:
            return
        with suppress(BufferError):
            self.view.release()
        with suppress(BufferError):
            self._map.close()
        os.close(self.descriptor)
        self.descriptor = -1
