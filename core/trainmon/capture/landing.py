"""What is on its way from an accelerator, fetched without ever waiting for it.

Reading a number of a CUDA tensor waits until the device has done all it was given: a training that
logs its loss each step would lose the overlap it lives on. So what is wanted is copied on the
device, in the order of the training's own work, moved to pinned memory on a stream of ours, and
looked at in a later step, when an event says that it is there.

JAX's arrays are sent for wherever they are, for on the CPU, too, they are computed in its own time.
TensorFlow's are read by a thread: see :mod:`trainmon.capture.reader_thread`.

Sources: https://docs.pytorch.org/docs/stable/notes/cuda.html (streams, pinned memory,
``record_stream``), https://docs.jax.dev/en/latest/async_dispatch.html.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from trainmon.capture.arrays import Array, as_numpy, framework_of, place_of
from trainmon.capture.reader_thread import Job, ReaderThread

__all__ = ["Landing", "UnderWay", "can_fetch", "fetch", "fetch_numbers"]

#: How long is waited for one number at the very end, between two looks, in seconds.
_LOOK_S = 0.001
#: Records that may wait. A device is never more than some dozens of steps behind its host.
_MOST_WAITING = 1024


class Landing(Protocol):
    """Arrays on their way."""

    def ready(self) -> bool:
        """Return whether they have arrived; never waits."""

    def arrays(self) -> Sequence[Array]:
        """Return them, in order; only when ready."""


def can_fetch(value: Any) -> bool:
    """Return whether an array lies on a device that it can be fetched from without waiting."""
    framework = framework_of(value)
    if framework == "torch":  # to read a distributed tensor would be a collective
        return place_of(value) == "cuda" and not hasattr(value, "to_local")
    if framework == "tensorflow":  # not one of a graph, nor text
        return hasattr(value, "numpy") and str(value.dtype.name) != "string"
    # Of several processes' arrays only what each of them holds whole can be read by one alone.
    return framework in ("jax", "jaxlib") and bool(
        value.is_fully_addressable or value.is_fully_replicated
    )


def fetch(arrays: Sequence[Any]) -> Landing:
    """Send for arrays that nobody changes any more: copies of our own, or immutable ones.

    Args:
        arrays: Of one framework, on devices.

    Raises:
        RuntimeError: The device is recording a graph, into which nothing of ours may get; or more
            waits to be read than may.
    """
    framework = framework_of(arrays[0])
    if framework == "torch":
        return _FromTorch(arrays)
    return _FromTensorFlow(arrays) if framework == "tensorflow" else _FromJax(arrays)


class _FromTorch:
    """Torch tensors on CUDA or ROCm devices."""

    def __init__(self, tensors: Sequence[Any]) -> None:
        self._hosts: list[Any] = [None] * len(tensors)
        self._events: list[Any] = []
        of_device: dict[Any, list[int]] = defaultdict(list)
        for index, tensor in enumerate(tensors):
            of_device[tensor.device].append(index)
        cuda = sys.modules["torch"].cuda
        if cuda.is_current_stream_capturing():
            raise RuntimeError("the device is recording a CUDA graph: this step is not shown")
        for device, indices in of_device.items():
            stream = _stream_of(device)
            stream.wait_stream(cuda.current_stream(device))
            with cuda.stream(stream):
                for index in indices:
                    # Into pinned memory, which this makes where it does not block.
                    self._hosts[index] = tensors[index].to("cpu", non_blocking=True)
                    # The allocator must not give the tensor's memory away while it is read.
                    tensors[index].record_stream(stream)
                event = cuda.Event()
                event.record(stream)
            self._events.append(event)

    def ready(self) -> bool:
        return all(event.query() for event in self._events)

    def arrays(self) -> Sequence[Array]:
        return [as_numpy(host) for host in self._hosts]


_streams: dict[Any, Any] = {}


def _stream_of(device: Any) -> Any:
    stream = _streams.get(device)
    if stream is None:
        stream = _streams[device] = sys.modules["torch"].cuda.Stream(device)
    return stream


class _FromJax:
    """JAX arrays, which nobody can change."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._sources = arrays
        for array in arrays:
            array.copy_to_host_async()

    def ready(self) -> bool:
        return all(array.is_ready() for array in self._sources)

    def arrays(self) -> Sequence[Array]:
        return [as_numpy(np.asarray(array)) for array in self._sources]


_reader = ReaderThread()


class _FromTensorFlow:
    """TensorFlow's tensors, which nobody can change."""

    def __init__(self, tensors: Sequence[Any]) -> None:
        self._job = Job(tensors)
        _reader.take(self._job)

    def ready(self) -> bool:
        return self._job.ready()

    def arrays(self) -> Sequence[Array]:
        return [as_numpy(array) for array in self._job.arrays()]


class _Numbers:
    """One number of each of several arrays of one element."""

    def __init__(self, parts: Sequence[tuple[Sequence[Any], Landing]]) -> None:
        self._parts = parts

    def ready(self) -> bool:
        return all(landing.ready() for _, landing in self._parts)

    def read(self) -> dict[Any, float]:
        found: dict[Any, float] = {}
        for names, landing in self._parts:
            flat = np.concatenate([array.reshape(-1) for array in landing.arrays()])
            found.update(zip(names, flat.astype(np.float64).tolist(), strict=True))
        return found


def fetch_numbers(values: Mapping[Any, Any]) -> _Numbers:
    """Send for numbers, each the one element of an array on a device.

    Raises:
        RuntimeError: The device is recording a graph.
    """
    alike: dict[Any, list[Any]] = defaultdict(list)
    for name, value in values.items():
        framework = framework_of(value)
        alike[(value.device, value.dtype) if framework == "torch" else framework].append(name)
    parts = []
    for key, names in alike.items():
        arrays = [values[name] for name in names]
        if isinstance(key, tuple):
            # One copy on the device for all, made in the order of the training's own work.
            arrays = [sys.modules["torch"].stack([each.detach().reshape(()) for each in arrays])]
        parts.append((names, fetch(arrays)))
    return _Numbers(parts)


class UnderWay:
    """Work that waits for what is under way, done in the order in which it was put here.

    Args:
        failed: Told what could not be read, and why.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self._failed = failed
        self.waiting: deque[tuple[Callable[[], bool], Callable[[bool], None]]] = deque()
        """What is ready and what is done then, in order; only to see whether there is any."""

    def put(self, ready: Callable[[], bool], do: Callable[[bool], None]) -> None:
        """Do something once it is ready and all before it is done.

        Args:
            ready: Never waits.
            do: Told whether it was ready; False: it is given up, for too much waits.
        """
        self.waiting.append((ready, do))
        if len(self.waiting) > _MOST_WAITING:
            self._take(landed=False)

    def settle(self) -> None:
        """Do what is ready; never waits."""
        while self.waiting and self._is_ready():
            self._take(landed=True)

    def finish(self, timeout_s: float) -> None:
        """Wait for all that is under way, but not long: the training is over."""
        until = time.monotonic() + timeout_s
        while self.waiting:
            self.settle()
            if self.waiting and time.monotonic() > until:
                self._take(landed=False)
            elif self.waiting:
                time.sleep(_LOOK_S)

    def clear(self) -> None:
        """Keep nothing."""
        self.waiting.clear()

    def _is_ready(self) -> bool:
        try:
            return self.waiting[0][0]()
        except Exception as error:  # noqa: BLE001 - a device that failed: its next step tells the user
            self._failed("a device", error)
            self._take(landed=False)
            return False

    def _take(self, *, landed: bool) -> None:
        _, do = self.waiting.popleft()
        try:
            do(landed)
        except Exception as error:  # noqa: BLE001 - the others that wait are done all the same
            self._failed("a device", error)
