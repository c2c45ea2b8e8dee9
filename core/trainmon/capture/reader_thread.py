"""A thread that reads TensorFlow's tensors from an accelerator, so that the training does not wait.

Torch and JAX tell whether a copy has arrived. TensorFlow does not: ``numpy()`` waits, and so does
``to_dlpack``, for it synchronises the whole device. But its waiting holds no lock of Python's, so
a thread of ours may wait where the training must not. There is none before the first tensor on an
accelerator, and it ends when nothing has come for a while.

Sources: tensorflow/python/eager/pywrap_tensor.cc (``TFE_TensorHandleToNumpy``),
tensorflow/c/eager/c_api.cc (``TFE_TensorHandleDevicePointer``).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any

from trainmon.capture.arrays import Array

__all__ = ["Job", "ReaderThread"]

#: How long the thread waits for another job before it ends, in seconds.
_IDLE_S = 1.0
#: Jobs that may wait; as many steps as may wait for what they lack.
_MOST_WAITING = 1024


class Job:
    """Tensors to be read.

    Args:
        tensors: TensorFlow's, which nobody can change.
    """

    def __init__(self, tensors: Sequence[Any]) -> None:
        self._tensors = tensors
        self._found: list[Array] = []
        self._error: Exception | None = None
        self._done = threading.Event()

    def read(self) -> None:
        """Read them, waiting for the device; what goes wrong is told by :meth:`arrays`."""
        try:
            self._found = [tensor.numpy() for tensor in self._tensors]
        except Exception as error:  # noqa: BLE001 - raised where the arrays are asked for, and counted
            self._error = error
        self._tensors = ()
        self._done.set()

    def ready(self) -> bool:
        """Return whether they have been read; never waits."""
        return self._done.is_set()

    def arrays(self) -> Sequence[Array]:
        """Return them, in order; only when ready.

        Raises:
            Exception: What reading them raised.
        """
        if self._error is not None:
            raise self._error
        return self._found


class ReaderThread:
    """Does jobs one after another, in a thread that lives while there are any."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job] = queue.Queue(_MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, job: Job) -> None:
        """Have a job done.

        Raises:
            RuntimeError: Too many wait: the device does not keep up.
        """
        with self._lock:
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                raise RuntimeError(
                    f"{_MOST_WAITING} steps wait to be read from the device: this one is not shown"
                ) from None
            # A forked child has the object of its parent's thread, which is not alive there.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="trainmon-reader", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:  # no job can come between the look and the end
                    if self._jobs.empty():
                        self._thread = None
                        return
                continue
            job.read()
