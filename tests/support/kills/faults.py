"""What is done to the stand: each function is one round of one kind, at a random moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kills.processes import Run, listens
from kills.sleepers import asleep
from kills.stand import Stand
from stack import eventually

__all__ = ["KINDS", "Kind"]

#: A relay that died so often within five seconds of its start is given up: see RelayProcess.
_MOST_RELAY_KILLS = 6
_DAY_MS = 86_400_000
#: Of so many outages one is long: that of so many steps, as in half an hour of ten steps a second.
_LONG_OUTAGE_EVERY, _LONG_OUTAGE_STEPS = 50, 18_000
#: Of so many partitions and stalls one lasts until the monitor takes the link for lost.
_SILENT_EVERY = 10


@dataclass(frozen=True)
class Kind:
    """One way of failing."""

    title: str
    round: Callable[[Stand], None]
    runs: int = 2
    """Trainings that run at the same time."""
    gateway: bool = False
    """Whoever watches and sends commands does so through a gateway."""
    small_disk: bool = False
    rate: float = 150
    """Steps a second of each training."""
    viewer_queue_bytes: int = 4 << 20
    """What may wait at the monitor for one viewer."""


def _kill_monitor(stand: Stand) -> None:
    """Kill it, also while it starts."""
    stand.pause(0.3)
    stand.monitor.kill()
    stand.pause(0.1)
    stand.monitor.start()
    if stand.random.random() < 0.7:
        stand.wait_for_monitor()
        if stand.random.random() < 0.5:
            stand.commander.wait_for_another()


def _kill_gateway(stand: Stand) -> None:
    """Kill it while a run is watched and commanded through it."""
    eventually(lambda: listens(stand.gateway_port), "the gateway listens", 60)
    if stand.random.random() < 0.5:
        stand.commander.wait_for_another()
    seen = stand.watcher.rows
    if stand.random.random() < 0.7:
        eventually(lambda: stand.watcher.rows, "rows through it", 60, lambda rows: rows > seen)
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
    stand.random.choice(stand.stepping).kill()


def _kill_both(stand: Stand) -> None:
    """Kill a training and its relay, half of the time with the link down; then sync."""
    run = _spooled(stand)
    away = stand.random.random() < 0.5
    if away:
        stand.proxy.partition()
    stand.pause(0.4)
    run.kill_both(relay_first=stand.random.random() < 0.5)
    if away:
        stand.proxy.heal()
    stand.begin_sync()


def _spooled(stand: Stand) -> Run:
    """Return a training whose relay has put something on disk, as any has that runs for a while."""
    home = stand.trainer_disk.home

    def found() -> list[Run]:
        return [run for run in stand.stepping if run.spooled(home)]

    return stand.random.choice(eventually(found, "a first turn of a relay", 60))


def _kill_everything(stand: Stand) -> None:
    """Kill monitor, gateway, relay and training in any order, with other faults in between."""
    run = _spooled(stand)
    if stand.random.random() < 0.3:
        stand.commander.wait_for_another()
    stand.pause(0.3)
    faults: list[Callable[[], None]] = [
        lambda: stand.monitor_disk.fill(stand.monitor.pid),
        lambda: stand.clock.write_text(str(_other_clock(stand))),
        stand.proxy.partition,
        stand.proxy.stall,
        stand.proxy.cut,
    ]
    done: list[Callable[[], object]] = [
        stand.monitor.kill,
        stand.gateway.kill,
        lambda: run.kill_both(relay_first=stand.random.random() < 0.5),
        *stand.random.sample(faults, stand.random.randrange(3)),
    ]
    stand.random.shuffle(done)
    for each in done:
        each()
        stand.pause(0.05)
    ended = [stand.proxy.heal, stand.monitor.start, stand.gateway.start]
    stand.random.shuffle(ended)
    for end in ended:
        end()
    stand.monitor_disk.drain(stand.monitor)
    stand.wait_for_monitor()
    stand.begin_sync()


def _partition(stand: Stand) -> None:
    """Pass nothing on, now and then until the silence is noticed; then it is as if nothing was."""
    stand.pause(0.3)
    runs = stand.stepping
    silent = stand.random.randrange(_SILENT_EVERY) == 0
    if silent:
        stand.wait_until_shown(runs, "RUNNING")
    stand.proxy.partition()
    if silent:
        stand.wait_until_shown(runs, "LINK_LOST")
    stand.pause(0.3)
    if stand.random.random() < 0.5:
        stand.proxy.cut()
    stand.proxy.heal()
    if silent:
        stand.wait_until_shown(runs, "RUNNING")


def _stall(stand: Stand) -> None:
    """Hold all bytes, now and then until the silence is noticed."""
    stand.pause(0.3)
    runs = stand.stepping
    silent = stand.random.randrange(_SILENT_EVERY) == 0
    if silent:
        stand.wait_until_shown(runs, "RUNNING")
    stand.proxy.stall()
    if silent:
        stand.wait_until_shown(runs, "LINK_LOST")
    stand.pause(0.3)
    stand.proxy.heal()
    if silent:
        stand.wait_until_shown(runs, "RUNNING")


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
    """Set the monitor's wall clock, while commands that live long or short are on their way."""
    stand.pause(0.3)
    stand.clock.write_text(str(_other_clock(stand)))
    if stand.random.random() < 0.2:
        stand.monitor.kill()
        stand.monitor.start()
        stand.wait_for_monitor()
    stand.commander.wait_for_another()


def _other_clock(stand: Stand) -> int:
    """Return how fast a clock is set, in ms: up to a day to either side."""
    return stand.random.randrange(-_DAY_MS, _DAY_MS)


def _full_disk_of_monitor(stand: Stand) -> None:
    stand.pause(0.3)
    stand.monitor_disk.fill(stand.monitor.pid)
    stand.pause(0.5)
    stand.monitor_disk.drain(stand.monitor)


def _full_disk_of_relay(stand: Stand) -> None:
    """The link stands: what cannot be written is kept in memory, and delivered from there."""
    run = _spooled(stand)
    stand.pause(0.3)
    relay = run.relay()
    if relay is not None:
        stand.trainer_disk.fill(relay.pid)
        stand.pause(0.5)
        stand.trainer_disk.drain(pid=relay.pid)


def _viewer_that_reads_nothing(stand: Stand) -> None:
    """Open a stream at 60 frames a second, sleep until the monitor has ended it, and resume."""
    name = stand.runs[-1].name  # nobody else watches this one
    session = eventually(lambda: stand.sessions().get(name), "the run is known", 60)
    if session is None:
        raise AssertionError("no session")
    with asleep(stand.port, session.session_id) as sleeper:

        def watched() -> bool:
            found = stand.sessions().get(name)
            return found is None or found.viewers > 0

        eventually(watched, "the stream of a viewer asleep is ended", 60, lambda still: not still)
        sleeper.wake()
    stand.found.add(sleeper.tally())


def _outage(stand: Stand) -> None:
    """Nobody answers until the link counts as lost, and in the first of many for half an hour."""
    runs = stand.stepping
    run = stand.random.choice(runs)
    stand.wait_until_shown(runs, "RUNNING")
    stand.pause(0.2)
    stand.proxy.partition()
    if stand.random.random() < 0.8:
        stand.proxy.cut()
    before = run.steps
    if stand.rounds % _LONG_OUTAGE_EVERY == 0:
        run.hurry(on=True)
        eventually(lambda: run.steps - before >= _LONG_OUTAGE_STEPS, "steps of an outage", 300)
        run.hurry(on=False)
    stand.wait_until_shown(runs, "LINK_LOST")
    newest = run.steps - 1
    stand.proxy.heal()
    stand.wait_until_shown(runs, "RUNNING")

    def arrived() -> bool:
        sessions = stand.sessions()
        return run.name in sessions and sessions[run.name].global_step >= newest

    eventually(arrived, "all of the outage delivered", 300, every_s=0.1)


KINDS = {
    "monitor": Kind("`kill -9` of the monitor", _kill_monitor),
    "gateway": Kind("`kill -9` of the gateway", _kill_gateway, gateway=True),
    "relay": Kind("`kill -9` of the relay", _kill_relay, runs=3),
    "training": Kind("`kill -9` of the training", _kill_training, runs=3),
    "both": Kind("`kill -9` of training and relay, then `trainmon sync`", _kill_both, runs=3),
    "everything": Kind(
        "`kill -9` of monitor, gateway, relay and training, and other faults",
        _kill_everything,
        runs=3,
        gateway=True,
        small_disk=True,
    ),
    "partition": Kind("network: partition", _partition),
    "stall": Kind("network: stall", _stall),
    "delay": Kind("network: delay, narrow link", _delay),
    "reset": Kind("network: reset", _reset),
    "corrupt": Kind("network: bytes changed", _corrupt),
    "clock": Kind("the monitor's clock jumps", _jump),
    "monitor-disk": Kind("disk full under the monitor", _full_disk_of_monitor, small_disk=True),
    "relay-disk": Kind("disk full under the relay", _full_disk_of_relay, small_disk=True),
    "viewer": Kind(
        "viewers that stop reading",
        _viewer_that_reads_nothing,
        rate=300,
        viewer_queue_bytes=64 << 10,
    ),
    "outage": Kind("outage, one in fifty of 18,000 steps (half an hour)", _outage, rate=50),
}
