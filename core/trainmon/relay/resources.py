"""CPU, memory and GPUs of the training, the host and the relay; looked at once a second at most."""

from __future__ import annotations

import importlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psutil

from trainmon.v1.telemetry_pb2 import GpuUsage, PerformanceData

__all__ = ["Gpus", "Resources"]

_INTERVAL_S = 1.0


class Gpus:
    """The host's NVIDIA GPUs, where the package ``nvidia-ml-py`` is installed; else none."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[tuple[str, Any]] = []
        # A broken driver raises what it likes; without it there are no GPUs to show.
        with suppress(Exception):
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            self._handles = [(_name(nvml.nvmlDeviceGetName(each)), each) for each in handles]
            self._nvml = nvml

    def read(self) -> list[GpuUsage]:
        """Return what each GPU is doing; one that cannot be read is left out."""
        usages = []
        for index, (name, handle) in enumerate(self._handles):
            with suppress(Exception):  # lost from the bus, or a partition that has no such figure
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                usage = GpuUsage(
                    index=index,
                    name=name,
                    memory_used_bytes=memory.used,
                    memory_total_bytes=memory.total,
                )
                with suppress(Exception):
                    busy = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu
                    usage.utilization_percent = float(busy)
                usages.append(usage)
        return usages


def _name(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class Resources:
    """Samples in a thread of its own: a driver that hangs must not stop the heartbeats.

    Args:
        pid: Of the training.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._trainer: psutil.Process | None = None
        self._own = psutil.Process()
        self._gpus: Gpus | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trainmon-resources")
        self._sampling: Future[PerformanceData] | None = None
        self._newest = PerformanceData()
        self._next_s = 0.0

    def update(self, now_s: float) -> PerformanceData:
        """Return the newest sample, and begin another where that is a second old.

        Args:
            now_s: ``time.monotonic()``.
        """
        if self._sampling is not None and self._sampling.done():
            if self._sampling.exception() is None:
                self._newest = self._sampling.result()
            self._sampling = None
        if self._sampling is None and now_s >= self._next_s:
            self._next_s = now_s + _INTERVAL_S
            self._sampling = self._pool.submit(self._sample)
        return self._newest

    def close(self) -> None:
        """End the thread; a driver that hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _sample(self) -> PerformanceData:
        sample = PerformanceData(cpu_count=psutil.cpu_count() or 0)
        with suppress(psutil.Error, OSError):
            if self._trainer is None:
                self._trainer = psutil.Process(self._pid)
                self._trainer.cpu_percent()  # the first answer is always 0
            else:
                sample.cpu_percent = self._trainer.cpu_percent()
            sample.memory_bytes = self._trainer.memory_info().rss
        with suppress(psutil.Error, OSError):
            host = psutil.virtual_memory()
            sample.host_memory_total_bytes = host.total
            sample.host_memory_used_bytes = host.total - host.available
        with suppress(psutil.Error, OSError):
            sample.relay_cpu_percent = self._own.cpu_percent()
            sample.relay_memory_bytes = self._own.memory_info().rss
        if self._gpus is None:
            self._gpus = Gpus()
        sample.gpus.extend(self._gpus.read())
        return sample
