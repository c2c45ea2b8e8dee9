"""Monitor, gateway, link and trainings on one stand, and what is found of them in the end."""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

import grpc
import psutil
from typing_extensions import Self

from kills.commander import Commander
from kills.disk import Disk
from kills.ledger import Tally, compare, read_log
from kills.processes import Process, Run, free_port, listens
from kills.tiny import reference
from kills.watcher import Watcher
from proxy import Proxy
from stack import eventually
from trainmon.relay.spool.folder import folders_in
from trainmon.relay.spool.waiting import abandoned
from viewer import Viewer, viewer

__all__ = ["Stand"]

_SUPPORT = Path(__file__).resolve().parents[1]
_SETTLE_S = 120.0


class Stand:
    """Everything one campaign of kills needs; use it in a ``with``.

    Args:
        folder: For its data and logs.
        seed: Of everything that is random.
        rate: Steps a second of each training.
        gateway: Whether there is one.
        small_disk: Mount small disks where that may be done.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        rate: float = 300,
        gateway: bool = False,
        small_disk: bool = False,
    ) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.rate = rate
        self.monitor_disk = Disk(folder / "monitor", mount=small_disk)
        self.trainer_disk = Disk(folder / "trainer", mount=small_disk)
        self.clock = folder / "clock"
        self.clock.write_text("0")
        self.port, self.gateway_port = free_port(), free_port()
        self.proxy = Proxy(self.port, seed)
        self.monitor = self._process(
            "monitor", "-m", "kills.monitor", str(self.clock), "serve", "--port", str(self.port)
        )
        gateway_options = ("--port", str(self.gateway_port), "--monitor", f"127.0.0.1:{self.port}")
        self.gateway = self._process("gateway", "-m", "trainmon.cli", "gateway", *gateway_options)
        self._has_gateway = gateway
        self.runs: list[Run] = []
        self.commander = Commander(self)
        self.watcher = Watcher(self)

    def __enter__(self) -> Self:
        self._viewing = viewer(f"127.0.0.1:{self.port}")
        self.viewer: Viewer = self._viewing.__enter__()
        self.monitor.start()
        if self._has_gateway:
            self.gateway.start()
        self.wait_for_monitor()
        self.commander.start()
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.commander.stop()
        self.watcher.stop()
        self._viewing.__exit__(None, None, None)
        for run in self.runs:
            if run.process.alive:
                run.kill_both(relay_first=False)
        self.gateway.end()
        self.monitor.end()
        self.proxy.close()
        for relay in self._relays():
            with suppress(psutil.Error):  # it has just ended
                relay.kill()
        self.monitor_disk.close()
        self.trainer_disk.close()

    # --- what there is ----------------------------------------------------------------------------

    @property
    def living(self) -> list[Run]:
        """Trainings that run."""
        return [run for run in self.runs if run.process.alive]

    def wait_for_monitor(self) -> None:
        """Wait until the monitor takes connections."""
        eventually(lambda: listens(self.port), "the monitor listens", 60)

    def restart_monitor(self) -> None:
        """Start the monitor where it is dead."""
        if not self.monitor.alive:
            self.monitor.start()

    def start_run(self) -> Run:
        """Start another training."""
        seed = self.random.randrange(2**32)
        folder = self.folder / f"run-{len(self.runs)}-{seed}"
        folder.mkdir()
        options = ("--seed", str(seed), "--rate", str(self.rate))
        process = self._process(folder.name, "-m", "kills.training", str(folder), *options)
        run = Run(folder, seed, process)
        process.start()
        self.runs.append(run)
        return run

    def keep_running(self, count: int) -> None:
        """See to it that so many trainings run."""
        for _ in range(count - len(self.living)):
            self.start_run()

    def pause(self, most_s: float) -> None:
        """Let a random time pass: the moment of a fault is what a campaign tries."""
        time.sleep(self.random.uniform(0, most_s))

    def _process(self, name: str, *arguments: str) -> Process:
        own = {name: value for name, value in os.environ.items() if name[:9] != "TRAINMON_"}
        home = self.monitor_disk if name in ("monitor", "gateway") else self.trainer_disk
        environment = {
            **own,
            "PYTHONPATH": str(_SUPPORT),
            "OPENBLAS_NUM_THREADS": "1",
            "TRAINMON_HOME": str(home.home),
            "TRAINMON_MONITOR": self.proxy.address,
            "TRAINMON_RELAY_LINGER": "600",
            "TRAINMON_HEARTBEAT_TIMEOUT_MS": "2000",
            "TRAINMON_KEY_FRAME_INTERVAL": "0.5",
            # A pause must outlast whatever happens here.
            "TRAINMON_PAUSE_ORPHAN_TIMEOUT": "600",
        }
        return Process([sys.executable, *arguments], environment, self.folder / f"{name}.log")

    # --- the end ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """End every training, heal everything, and wait until all is delivered."""
        self.proxy.heal()
        self.monitor_disk.drain(self.monitor)
        self.restart_monitor()
        self.wait_for_monitor()
        self.commander.stop()
        for run in self.living:
            run.stop()
        for run in self.living:
            if run.process.wait(_SETTLE_S) is None:
                raise AssertionError(f"{run.name} did not end")
        deadline_s = time.monotonic() + _SETTLE_S
        # A relay that has just been started has no spool yet.
        while list(folders_in(self.trainer_disk.home)) or self._relays():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"not delivered within {_SETTLE_S:g} s: {self._left()}")
            if abandoned(self.trainer_disk.home):
                self.sync()
            else:
                time.sleep(0.1)  # relays deliver; there is nothing of another process to wait on

    def sync(self) -> None:
        """Deliver what dead relays have left."""
        sync = self._process("sync", "-m", "trainmon.cli", "sync", "--monitor", self.proxy.address)
        sync.start()
        sync.wait(_SETTLE_S)

    def judge(self) -> Tally:
        """Compare what is stored with what was told, of every run."""
        tally = Tally()
        sessions = {each.session_name: each.session_id for each in self.viewer.sessions()}
        for run in self.runs:
            tally.add(self._judge_run(run, sessions.get(run.name, "")))
        self._judge_watcher(sessions.get(self.runs[0].name, ""), tally)
        return tally

    def _judge_watcher(self, session_id: str, tally: Tally) -> None:
        if session_id:
            steps = self.viewer.metrics(session_id, "loss")["loss"].steps
            self.watcher.finish(int(max(steps)))
        self.watcher.stop()
        self.watcher.judge(tally)

    def _judge_run(self, run: Run, session_id: str) -> Tally:
        log = read_log(run.folder / "steps")
        undisturbed, _ = reference(run.seed, len(log) + 1)
        stored = []
        with suppress(grpc.RpcError):
            stored = list(self.viewer.metrics(session_id).values()) if session_id else []
        tally = compare(log, undisturbed, stored, run.both_killed_s, run.ended)
        if run.ended:
            self._judge_end(run, len(log), tally)
        if session_id:
            self.commander.judge(run, session_id, tally)
        tally.remarks = [f"{run.name}: {text}" for text in tally.remarks]
        return tally

    def _judge_end(self, run: Run, steps: int, tally: Tally) -> None:
        told = (run.folder / "end").read_text()
        _, checksum = reference(run.seed, steps)
        if checksum not in told:
            tally.differing += 1
            tally.remarks.append("the weights are others than undisturbed")

    def _left(self) -> list[str]:
        return [folder.name for folder in folders_in(self.trainer_disk.home)]

    def _relays(self) -> list[psutil.Process]:
        """Return the relays of this stand, those that go on alone among them."""
        home, found = str(self.trainer_disk.home), []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                is_relay = "trainmon.relay" in process.cmdline()
                if is_relay and process.environ().get("TRAINMON_HOME") == home:
                    found.append(process)
        return found

    def logs(self) -> str:
        """Return the last lines of every log, for whoever reads of a failure."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(
            f"== {each.name}\n" + "\n".join(each.read_text(errors="replace").splitlines()[-15:])
            for each in files
        )
