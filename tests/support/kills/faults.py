"""What is done to the stand: each function is one round of one kind, at a random moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import grpc

from kills.processes import Run, listens
from kills.stand import Stand
from stack import eventually

__all__ = ["KINDS", "Kind"]

#: A relay that died so often within five seconds of its start is given up: see RelayProcess.
_MOST_RELAY_KILLS = 6
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Kind:
    """One way of failing."""

    title: str
    round: Callable[[Stand], None]
    usual: int
    """Rounds where nothing else is said: all kinds together fit into some minutes."""
    runs: int = 2
    """Trainings that run at the same time."""
    gateway: bool = False
    small_disk: bool = False
    rate: float = 300


def _kill_monitor(stand: Stand) -> None:
    """Kill it, also while it starts."""
    stand.pause(0.5)
    stand.monitor.kill()
    stand.pause(0.1)
    stand.monitor.start()
    if stand.random.random() < 0.7:
        stand.wait_for_monitor()
        if stand.random.random() < 0.3:
            stand.commander.wait_for_another()


def _kill_gateway(stand: Stand) -> None:
    eventually(lambda: listens(stand.gateway_port), "the gateway listens", 60)
    stand.pause(0.2)
    stand.gateway.kill()
    stand.gateway.start()


def _kill_relay(stand: Stand) -> None:
    stand.pause(0.3)
    for run in stand.living:
        if run.relay_kills >= _MOST_RELAY_KILLS:
            run.stop()
    run = stand.random.choice(_killable(stand))
    eventually(run.kill_relay, "a relay to kill", 60)


def _killable(stand: Stand) -> list[Run]:
    found = [run for run in stand.living if run.relay_kills < _MOST_RELAY_KILLS]
    return found or [stand.start_run()]


def _kill_training(stand: Stand) -> None:
    """Kill a training; the relay lives, and tells the rest."""
    stand.pause(0.3)
    run = stand.random.choice(stand.living)
    eventually(lambda: run.steps, "steps", 60)
    stand.pause(0.3)
    run.kill()


def _kill_both(stand: Stand) -> None:
    """Kill a training and its relay, half of the time with the link down; then sync."""
    run = stand.random.choice(stand.living)
    eventually(lambda: run.spooled(stand.trainer_disk.home), "a first turn of the relay", 60)
    away = stand.random.random() < 0.5
    if away:
        stand.proxy.partition()
    stand.pause(0.6)
    run.kill_both(relay_first=stand.random.random() < 0.5)
    if away:
        stand.proxy.heal()
    stand.sync()


def _kill_everything(stand: Stand) -> None:
    """Kill monitor, gateway, relay and training, in any order; start all but the training."""
    run = stand.random.choice(stand.living)
    eventually(lambda: run.spooled(stand.trainer_disk.home), "a first turn of the relay", 60)
    stand.pause(0.5)
    kills: list[Callable[[], None]] = [
        stand.monitor.kill,
        stand.gateway.kill,
        lambda: run.kill_both(relay_first=stand.random.random() < 0.5),
    ]
    stand.random.shuffle(kills)
    for kill in kills:
        kill()
        stand.pause(0.05)
    starts = [stand.monitor.start, stand.gateway.start]
    stand.random.shuffle(starts)
    for start in starts:
        start()
    stand.wait_for_monitor()
    stand.sync()


def _partition(stand: Stand) -> None:
    stand.pause(0.3)
    stand.proxy.partition()
    stand.pause(0.3)
    if stand.random.random() < 0.5:
        stand.proxy.cut()
    stand.proxy.heal()


def _stall(stand: Stand) -> None:
    """Hold all bytes, now and then for longer than the timeout."""
    stand.pause(0.3)
    stand.proxy.stall()
    stand.pause(4.0 if stand.random.random() < 0.05 else 0.4)
    stand.proxy.heal()


def _delay(stand: Stand) -> None:
    stand.pause(0.2)
    way = stand.random.choice((stand.proxy.up, stand.proxy.down))
    way.delay_s = stand.random.uniform(0, 0.3)
    way.bytes_per_s = stand.random.choice((0.0, 20_000.0))
    stand.pause(0.6)
    stand.proxy.heal()


def _reset(stand: Stand) -> None:
    stand.pause(0.8)
    stand.proxy.cut()


def _corrupt(stand: Stand) -> None:
    stand.pause(0.6)
    way = stand.random.choice((stand.proxy.up, stand.proxy.up, stand.proxy.down))
    stand.proxy.corrupt(way, stand.random.choice((1, 1, 4)))


def _jump(stand: Stand) -> None:
    """Set the monitor's wall clock, by up to a day to either side; kill it now and then."""
    stand.pause(0.3)
    stand.clock.write_text(str(stand.random.randrange(-_DAY_MS, _DAY_MS)))
    if stand.random.random() < 0.2:
        stand.monitor.kill()
        stand.monitor.start()
        stand.wait_for_monitor()


def _full_disk_of_monitor(stand: Stand) -> None:
    stand.pause(0.3)
    stand.monitor_disk.fill(stand.monitor.pid)
    stand.pause(0.5)
    stand.monitor_disk.drain(stand.monitor)


def _full_disk_of_relay(stand: Stand) -> None:
    """The link stands: what cannot be written is kept in memory, and delivered from there."""
    stand.pause(0.3)
    run = stand.random.choice(stand.living)
    eventually(lambda: run.spooled(stand.trainer_disk.home), "a first turn of the relay", 60)
    relay = run.relay()
    if relay is not None:
        stand.trainer_disk.fill(relay.pid)
        stand.pause(0.5)
        stand.trainer_disk.drain(pid=relay.pid)


def _viewer_that_reads_nothing(stand: Stand) -> None:
    """Open streams at 60 frames a second, read their beginning, and then nothing."""
    stand.pause(0.2)
    with suppress(grpc.RpcError):
        sessions = stand.viewer.sessions()[-3:]
        streams = [
            stand.viewer.watch(each.session_id, frames_per_second=60, tile_size=128)
            for each in sessions
        ]
        for stream in streams:
            next(stream)
        stand.pause(0.6)
        for stream in streams:
            stream.cancel()  # type: ignore[attr-defined] # a grpc call, which is an iterator too


def _outage(stand: Stand) -> None:
    """Nobody answers while as many steps end as in half an hour of ten steps a second."""
    run = stand.random.choice(stand.living)
    stand.proxy.partition()
    stand.proxy.cut()
    before = run.steps
    eventually(lambda: run.steps - before >= 18_000, "18,000 steps", 300)
    stand.proxy.heal()
    names = {run.name}

    def arrived() -> bool:
        with suppress(grpc.RpcError):
            return any(
                each.global_step >= before + 18_000
                for each in stand.viewer.sessions()
                if each.session_name in names
            )
        return False

    eventually(arrived, "all of the outage delivered", 120)


KINDS = {
    "monitor": Kind("`kill -9` of the monitor", _kill_monitor, 20),
    "gateway": Kind("`kill -9` of the gateway", _kill_gateway, 15, gateway=True),
    "relay": Kind("`kill -9` of the relay", _kill_relay, 25, runs=3),
    "training": Kind("`kill -9` of the training", _kill_training, 20, runs=3),
    "both": Kind("`kill -9` of training and relay, then `trainmon sync`", _kill_both, 12, runs=3),
    "everything": Kind(
        "`kill -9` of monitor, gateway, relay and training",
        _kill_everything,
        6,
        runs=3,
        gateway=True,
    ),
    "partition": Kind("network: partition", _partition, 30),
    "stall": Kind("network: stall", _stall, 12),
    "delay": Kind("network: delay, narrow link", _delay, 25),
    "reset": Kind("network: reset", _reset, 25),
    "corrupt": Kind("network: bytes changed", _corrupt, 50),
    "clock": Kind("the monitor's clock jumps", _jump, 25),
    "monitor-disk": Kind("disk full under the monitor", _full_disk_of_monitor, 25, small_disk=True),
    "relay-disk": Kind("disk full under the relay", _full_disk_of_relay, 25, small_disk=True),
    "viewer": Kind("viewers that stop reading", _viewer_that_reads_nothing, 25),
    "outage": Kind("outage of 18,000 steps (half an hour)", _outage, 1, runs=1, rate=3000),
}
