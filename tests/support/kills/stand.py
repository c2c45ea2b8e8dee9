"""Monitor, gateway, link and trainings on one stand, and what is found of them in the end."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import grpc
import psutil
from typing_extensions import Self

from kills.commander import Commander
from kills.disk import Disk
from kills.ledger import Tally, compare, compare_epochs, read_log
from kills.processes import Process, Run, free_port, listens
from kills.tiny import reference
from kills.watcher import Watcher
from proxy import Proxy
from stack import eventually
from trainmon.relay.spool.folder import folders_in
from trainmon.relay.spool.waiting import abandoned
from trainmon.v1.control_pb2 import CommandRecord, ControlCommand, Stop
from trainmon.v1.dashboard_pb2 import SessionSnapshot, SessionState, SessionSummary
from trainmon.v1.telemetry_pb2 import MetricSeries
from viewer import Viewer, viewer, web_viewer

__all__ = ["Stand"]

_SUPPORT = Path(__file__).resolve().parents[1]
_SETTLE_S = 300.0


class Stand:
    """Everything one campaign of kills needs; use it in a ``with``.

    Args:
        folder: For its data and logs.
        seed: Of everything that is random.
        rate: Steps a second of each training.
        gateway: Whether there is one; then whoever watches and sends commands goes through it.
        small_disk: Mount small disks where that may be done.
        viewer_queue_bytes: What may wait at the monitor for one viewer.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        rate: float = 150,
        gateway: bool = False,
        small_disk: bool = False,
        viewer_queue_bytes: int = 4 << 20,
    ) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.rate = rate
        self._viewer_queue_bytes = viewer_queue_bytes
        self.rounds = 0
        """How many were done."""
        self.found = Tally()
        """What was found in rounds."""
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
        self._syncs: list[Process] = []
        self._viewing = ExitStack()
        self.commander = Commander(self)
        self.watcher = Watcher(self)

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:  # whoever ends this early wants no process of it left either
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        self.viewer: Viewer = self._viewing.enter_context(viewer(f"127.0.0.1:{self.port}"))
        self.monitor.start()
        if self._has_gateway:
            self.gateway.start()
        self.wait_for_monitor()
        self.commander.start()
        self.watcher.start()

    def __exit__(self, *_: object) -> None:
        self.commander.stop()
        self.watcher.stop()
        self._viewing.close()
        for run in self.runs:
            if run.process.alive:
                run.kill_both(relay_first=False)
        for process in (*self._syncs, self.gateway, self.monitor):
            process.end()
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

    @property
    def stepping(self) -> list[Run]:
        """Trainings that run, and have made steps."""
        return [run for run in self.living if run.steps]

    def watching(self) -> AbstractContextManager[Viewer]:
        """Give a viewer that goes the way a page does: through the gateway where there is one."""
        if self._has_gateway:
            return web_viewer(self.gateway_port)
        return viewer(f"127.0.0.1:{self.port}")

    def sessions(self) -> dict[str, SessionSummary]:
        """Return what the monitor lists, by the names of the runs; nothing while it is away."""
        with suppress(grpc.RpcError):
            return {each.session_name: each for each in self.viewer.sessions()}
        return {}

    def wait_until_shown(self, runs: Collection[Run], state: str) -> None:
        """Wait until runs are shown in a state, such as LINK_LOST; those that ended are not."""
        wanted = SessionState.Value(f"SESSION_STATE_{state}")

        def others() -> list[str]:
            sessions = self.sessions()
            return [
                f"{run.name} {SessionState.Name(sessions[run.name].state)}"
                if run.name in sessions
                else run.name
                for run in runs
                if run.process.alive
                and (run.name not in sessions or sessions[run.name].state != wanted)
            ]

        eventually(others, f"runs are shown as {state}", 60, lambda found: not found, every_s=0.1)

    def wait_for_monitor(self) -> None:
        """Wait until the monitor takes connections."""
        eventually(lambda: listens(self.port), "the monitor listens", 60)

    def restart(self) -> None:
        """Start monitor and gateway where they are dead."""
        for process in (self.monitor, *([self.gateway] if self._has_gateway else [])):
            if not process.alive:
                process.start()

    def start_run(self) -> Run:
        """Start another training."""
        seed = self.random.randrange(2**32)
        folder = self.folder / f"run-{len(self.runs)}-{seed}"
        folder.mkdir()
        options = ("--seed", str(seed), "--rate", str(self.rate))
        process = self._process(folder.name, "-m", "kills.training", str(folder), *options)
        run = Run(folder, seed, process)
        self.runs.append(run)  # before it is started: who is ended in between ends it, too
        process.start()
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
            "TRAINMON_VIEWER_QUEUE_BYTES": str(self._viewer_queue_bytes),
            "TRAINMON_KEY_FRAME_INTERVAL": "0.5",
            # A pause must outlast whatever happens here.
            "TRAINMON_PAUSE_ORPHAN_TIMEOUT": "600",
        }
        return Process([sys.executable, *arguments], environment, self.folder / f"{name}.log")

    # --- the end ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """End every training, heal everything, and wait until all is delivered.

        Then the monitor is killed once more: what is compared was read back from its disk.
        """
        self.heal()
        self.commander.stop()
        for run in self.living:
            self._end(run)
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
        self.monitor.kill()
        self.restart()
        self.wait_for_monitor()

    def heal(self) -> None:
        """End every fault there is, but for what was killed of trainings and relays."""
        self.proxy.heal()
        self.monitor_disk.drain(self.monitor)
        self.clock.write_text("0")
        self.restart()
        self.wait_for_monitor()

    def _end(self, run: Run) -> None:
        """End a training, half of the time by a command, unless it ends already."""
        session = self.sessions().get(run.name)
        if session is None or run.is_stopping or self.random.random() < 0.5:
            run.stop()
            return
        run.stopped_by = f"stop {run.name}"
        stop = ControlCommand(command_id=run.stopped_by, issued_by="the stand", stop=Stop())
        asked = CommandRecord(session_id=session.session_id, command=stop)

        def refused() -> str:
            try:
                self.viewer.send_again(asked)  # the same again is the same command
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
            return ""

        eventually(refused, "the command to stop on record", 60, lambda reason: not reason)

    def sync(self) -> None:
        """Deliver what dead relays have left."""
        self.begin_sync()
        self._syncs[-1].wait(_SETTLE_S)

    def begin_sync(self) -> None:
        """Begin to deliver what dead relays have left."""
        self._syncs = [each for each in self._syncs if each.alive]
        sync = self._process("sync", "-m", "trainmon.cli", "sync", "--monitor", self.proxy.address)
        self._syncs.append(sync)
        sync.start()

    def judge(self) -> Tally:
        """Compare what is stored with what was told, of every run."""
        tally = Tally(rounds=self.rounds)
        tally.add(self.found)
        sessions = eventually(self.sessions, "the monitor lists its sessions", 60)
        for run in self.runs:
            tally.add(self._judge_run(run, sessions.get(run.name)))
        self._judge_watcher(sessions.get(self.runs[0].name), tally)
        return tally

    def _judge_watcher(self, session: SessionSummary | None, tally: Tally) -> None:
        if session is not None:
            steps = self.viewer.metrics(session.session_id, "loss")["loss"].steps
            self.watcher.finish(int(max(steps)))
        self.watcher.stop()
        self.watcher.judge(tally)

    def _judge_run(self, run: Run, session: SessionSummary | None) -> Tally:
        log = read_log(run.folder / "steps")
        undisturbed, checksum = reference(run.seed, len(log))
        stored: dict[str, MetricSeries] = {}
        if session is not None:
            stored = self.viewer.metrics(session.session_id)
        tally = compare(log, undisturbed, stored.values(), run.both_killed_s, run.ended)
        if run.ended and checksum not in (run.folder / "end").read_text():
            tally.differing += 1
            tally.remarks.append("the weights are others than undisturbed")
        if session is not None:
            snapshot = self.viewer.snapshot(session.session_id)
            newest = int(max(stored["loss"].steps)) if "loss" in stored else -1
            bound = None if run.both_killed_s is None else newest
            tally.add(compare_epochs(len(log), undisturbed, snapshot.epochs, bound, run.ended))
            _judge_state(run, snapshot, tally)
            self.commander.judge(run, snapshot.commands, tally)
        tally.remarks = [f"{run.name}: {text}" for text in tally.remarks]
        return tally

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


def _judge_state(run: Run, snapshot: SessionSnapshot, tally: Tally) -> None:
    """Look whether a run that is over is shown as what became of it, with nothing missing."""
    state = "DIED" if not run.ended else "STOPPED" if run.stopped_by else "COMPLETED"
    shown = SessionState.Name(snapshot.summary.state)
    if shown != f"SESSION_STATE_{state}":
        tally.misjudged += 1
        tally.remarks.append(f"is shown as {shown}, and is {state}")
    if snapshot.missing_records:
        tally.misjudged += 1
        tally.remarks.append(f"is shown with {snapshot.missing_records} records missing")
