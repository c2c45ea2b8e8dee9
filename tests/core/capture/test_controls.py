"""Control points: commands are applied once, at a batch boundary, and say what became of them."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from trainmon.capture.bare import BareLoop, LoopContext
from trainmon.capture.controls import ControlPoint, Knob
from trainmon.capture.ranks.peers import Peers
from trainmon.channel import Kind, Word
from trainmon.errors import StopTraining
from trainmon.events import ControlSpec, ControlType


class Loop:
    """A training loop with one optimizer, its control point, and the relay's end of the channel."""

    def __init__(self, ends, relay, orphan_timeout_s: float = 600) -> None:
        self.ends, self.relay = ends, relay
        self.optimizer = SimpleNamespace(learning_rate=0.1)
        self.step = 0
        self.state = "RUNNING"
        self.failures: list[Exception] = []
        self.control_context = LoopContext((self.optimizer,), ())
        adapter = BareLoop()
        self.point = ControlPoint(
            ends.trainer,
            relay,
            lambda command: adapter.trainmon_apply_control(self, command),
            lambda kind, fields: ends.trainer.records.write(_packed(kind, fields)),
            lambda: self.step,
            lambda: self.state,
            lambda where, error: self.failures.append(error),
            orphan_timeout_s,
        )

    def batch(self) -> None:
        self.step += 1
        self.point.visit()

    def results(self) -> list[dict]:
        return self.ends.of(Kind.RESULT)


def _packed(kind, fields) -> bytes:
    from trainmon.channel import pack_json

    return pack_json(kind, fields)


@pytest.fixture
def loop(ends, relay) -> Loop:
    """A loop at its first step."""
    return Loop(ends, relay)


def adjust(command_id: str = "a", **fields) -> dict:
    """A command for the learning rate."""
    return {"command_id": command_id, "kind": "adjust_learning_rate", **fields}


def test_learning_rate_is_read_back_after_the_next_step(loop) -> None:
    """A new rate is applied with old and new value, and its effect is told one step later."""
    loop.ends.send(**adjust(value=0.5))
    loop.batch()
    (applied,) = loop.results()
    assert applied["state"] == "APPLIED"
    assert (applied["previous_value"], applied["applied_value"]) == (0.1, 0.5)
    assert applied["applied_at_step"] == 1
    assert "effective_value" not in applied
    loop.optimizer.learning_rate = 0.4  # what a schedule might do
    loop.batch()
    (read_back,) = loop.results()
    assert read_back["effective_value"] == 0.4
    assert read_back["applied_at_step"] == 1


def test_a_factor_scales(loop) -> None:
    """A factor multiplies the base rate."""
    loop.ends.send(**adjust(factor=0.5))
    loop.batch()
    assert loop.optimizer.learning_rate == pytest.approx(0.05)


def test_sent_twice_is_done_once(loop) -> None:
    """The same command again is answered with its result and not applied again."""
    for _ in range(2):
        loop.ends.send(**adjust(factor=0.5))
        loop.batch()
    first, *rest = loop.results()
    assert loop.optimizer.learning_rate == pytest.approx(0.05)
    assert rest
    assert all(result["applied_value"] == first["applied_value"] for result in rest)


def test_an_expired_command_is_not_applied(loop) -> None:
    """A command whose time to live has passed ends as expired and changes nothing."""
    loop.ends.send(**adjust(value=0.5, expires_at_s=time.monotonic() - 1))
    loop.batch()
    (result,) = loop.results()
    assert result["state"] == "EXPIRED"
    assert loop.optimizer.learning_rate == 0.1


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        (adjust(value=0.5, expires_at_s=0.0), "EXPIRED"),
        ({"command_id": "a", "kind": "dance"}, "REJECTED"),
    ],
)
def test_what_is_refused_at_once_is_answered_where_there_may_be_ranks(loop, fields, state) -> None:
    """Every session may have other ranks; what came too late, or makes no sense, has its answer."""
    loop.point.peers = Peers(loop.point, 1)
    loop.ends.send(**fields)
    loop.batch()
    (result,) = loop.results()
    assert result["state"] == state
    assert loop.failures == []


def test_pause_waits_until_resumed(loop) -> None:
    """A pause holds the loop, shows as paused, takes other commands meanwhile, ends on resume."""
    loop.ends.send(command_id="p", kind="pause", issued_by="ada")
    seen = []

    def while_paused() -> None:
        seen.append(loop.ends.relay.block.words[Word.PAUSED])
        loop.ends.send(**adjust(value=0.5))

    loop.relay.on_wait = [
        while_paused,
        lambda: loop.ends.send(command_id="r", kind="resume"),
    ]
    loop.batch()
    assert seen == [1]
    assert not loop.point.paused
    assert loop.optimizer.learning_rate == 0.5
    records = loop.ends.records()
    states = [record["status"] for kind, record in records if kind is Kind.STATUS]
    assert states == ["PAUSED", "RUNNING"]
    results = {r["command_id"]: r["state"] for kind, r in records if kind is Kind.RESULT}
    assert results == {"p": "APPLIED", "a": "APPLIED", "r": "APPLIED"}


def test_stop_ends_a_pause(loop) -> None:
    """Stop raises StopTraining with who asked, out of a pause too."""
    loop.ends.send(command_id="p", kind="pause")
    loop.relay.on_wait = [lambda: loop.ends.send(command_id="s", kind="stop", issued_by="ada")]
    with pytest.raises(StopTraining, match="ada") as stop:
        loop.batch()
    assert stop.value.command_id == "s"
    assert not loop.point.paused


def test_ctrl_c_ends_a_pause(loop) -> None:
    """Ctrl-C leaves a pause as KeyboardInterrupt, and the run no longer shows as paused."""
    loop.ends.send(command_id="p", kind="pause")

    def ctrl_c() -> None:
        raise KeyboardInterrupt

    loop.relay.on_wait = [ctrl_c]
    with pytest.raises(KeyboardInterrupt):
        loop.batch()
    assert not loop.point.paused


def test_an_orphaned_pause_ends(ends, relay, caplog) -> None:
    """A pause outlives the link by no more than the orphan timeout, and says why it ended."""
    loop = Loop(ends, relay, orphan_timeout_s=5)
    ends.send(command_id="p", kind="pause")

    def lose_the_link() -> None:
        ends.relay.block.words[Word.LINK_LOST_NS] = time.monotonic_ns() - 6 * 10**9

    relay.on_wait = [lose_the_link]
    with caplog.at_level(logging.WARNING, "trainmon"):
        loop.batch()
    assert not loop.point.paused
    assert "TRAINMON_PAUSE_ORPHAN_TIMEOUT" in caplog.text


def test_a_pause_ends_where_no_relay_is_left(ends, relay) -> None:
    """A pause that only a relay could end, dead or stopped for too long, ends by itself."""
    loop = Loop(ends, relay, orphan_timeout_s=5)
    ends.send(command_id="p", kind="pause")

    def lose_the_relay() -> None:
        ends.relay.block.words[Word.RELAY_ALIVE_NS] = time.monotonic_ns() - 6 * 10**9

    relay.on_wait = [lose_the_relay]
    loop.batch()
    assert not loop.point.paused


def test_a_pause_within_an_evaluation_goes_back_to_it(loop) -> None:
    """After a pause in the midst of an evaluation the run shows as evaluating again."""
    loop.state = "EVALUATING"
    loop.ends.send(command_id="p", kind="pause")
    loop.relay.on_wait = [lambda: loop.ends.send(command_id="r", kind="resume")]
    loop.batch()
    states = [record["status"] for record in loop.ends.of(Kind.STATUS)]
    assert states == ["PAUSED", "EVALUATING"]


@pytest.mark.parametrize(
    "nonsense",
    [{"command_id": "x", "kind": "dance"}, {"command_id": "x"}, {"kind": "pause", "value": 1}],
)
def test_what_cannot_be_understood_harms_no_other_command(loop, nonsense) -> None:
    """A command this version does not know is rejected, and the one behind it is carried out."""
    loop.ends.send(**nonsense)
    loop.ends.send(**adjust(value=0.5))
    loop.batch()
    first, second = loop.results()
    assert first["state"] == "REJECTED"
    assert "not understood" in first["message"]
    assert (second["command_id"], second["state"]) == ("a", "APPLIED")
    assert loop.optimizer.learning_rate == 0.5


def test_nonsense_does_not_end_a_pause(loop) -> None:
    """A paused run that is sent what it does not understand stays paused until resumed."""
    loop.ends.send(command_id="p", kind="pause")
    still = []
    loop.relay.on_wait = [
        lambda: loop.ends.send(command_id="x", kind="dance"),
        lambda: still.append(loop.point.paused),
        lambda: loop.ends.send(command_id="r", kind="resume"),
    ]
    loop.batch()
    assert still == [True]


def test_a_knob_that_cannot_be_read_back_harms_no_other(loop) -> None:
    """A control whose reading raises is told of, and the next control's value is read back."""
    state = {"dropout": 0.1}
    broken = False

    def read() -> float:
        if broken:
            raise RuntimeError("gone")
        return 1.0

    loop.point.knobs = {
        "fragile": Knob(ControlSpec("fragile"), lambda value: None, read),
        "dropout": Knob(
            ControlSpec("dropout"),
            lambda value: state.update(dropout=value),
            lambda: state["dropout"],
        ),
    }
    for name in ("fragile", "dropout"):
        loop.ends.send(command_id=name, kind="set_control", name=name, value=0.3)
    loop.batch()
    broken = True
    loop.batch()
    assert [str(error) for error in loop.failures] == ["gone"]
    assert loop.results()[-1]["effective_value"] == 0.3


def test_an_adapter_may_stop_its_framework_by_raising(ends, relay) -> None:
    """StopTraining out of an adapter's control stops the run and is on record as applied."""
    loop = Loop(ends, relay)

    def stop(command) -> None:
        raise StopTraining

    loop.point._apply = stop
    ends.send(command_id="s", kind="stop")
    with pytest.raises(StopTraining):
        loop.batch()
    (result,) = loop.results()
    assert (result["command_id"], result["state"]) == ("s", "APPLIED")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"kind": "resume"}, "not paused"),
        ({"kind": "set_control", "name": "nonsense", "value": 1.0}, "unknown control 'nonsense'"),
        ({"kind": "save_checkpoint"}, "add_control"),
        ({"kind": "evaluate"}, "add_control"),
        ({"kind": "adjust_learning_rate", "value": 1.0, "optimizer_index": 4}, "no optimizer"),
        ({"kind": "set_control", "name": "dropout", "value": 1.5}, "range"),
        ({"kind": "set_control", "name": "dropout", "value": math.nan}, "finite"),
        ({"kind": "set_control", "name": "dropout"}, "None"),
        ({"kind": "set_control", "name": "broken", "value": 0.5}, "RuntimeError: no"),
        ({"kind": "set_control", "name": "choice", "value": 2.0}, "range"),
        ({"kind": "set_control", "name": "choice", "value": 0.5}, "whole number"),
    ],
)
def test_refusals_tell_the_reason(loop, command, reason) -> None:
    """What cannot be done is rejected with the reason, and the loop goes on."""
    state = {"dropout": 0.1}

    def broken(value: float) -> None:
        raise RuntimeError("no")

    choice = ControlSpec("choice", type=ControlType.CHOICE, choices=("a", "b"))
    loop.point.knobs = {
        "dropout": Knob(
            ControlSpec("dropout", minimum=0, maximum=1), lambda v: state.update(dropout=v)
        ),
        "broken": Knob(ControlSpec("broken"), broken),
        "choice": Knob(choice, lambda v: None),
    }
    loop.ends.send(command_id="x", **command)
    loop.batch()
    (result,) = loop.results()
    assert result["state"] == "REJECTED"
    assert reason in result["message"]
    assert state == {"dropout": 0.1}


def test_a_declared_control_is_turned(loop) -> None:
    """A control declared in one line is set on the training's thread, and read back."""
    state = {"dropout": 0.1}
    spec = ControlSpec("dropout", minimum=0, maximum=1)
    loop.point.knobs["dropout"] = Knob(
        spec, lambda value: state.update(dropout=value), lambda: state["dropout"]
    )
    loop.ends.send(command_id="d", kind="set_control", name="dropout", value=0.3)
    loop.batch()
    loop.batch()
    applied, read_back = loop.results()
    assert state == {"dropout": 0.3}
    assert (applied["previous_value"], applied["applied_value"]) == (0.1, 0.3)
    assert read_back["effective_value"] == 0.3


def test_visit_without_a_command_touches_nothing(loop) -> None:
    """A control point without a command writes no record and wakes nobody."""
    loop.batch()
    assert loop.ends.records() == []
    assert loop.relay.woken == 0


@dataclass
class Scheduler:
    """Computes the rate from bases it keeps, as Torch's LambdaLR does."""

    optimizer: object
    base_lrs: list[float]
    factor: float = 1.0

    def step(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * self.factor


def scheduled() -> tuple[SimpleNamespace, Scheduler]:
    """An optimizer of two groups with the scheduler that drives it."""
    groups = [{"lr": 0.1, "initial_lr": 0.1}, {"lr": 0.01, "initial_lr": 0.01}]
    optimizer = SimpleNamespace(param_groups=groups)
    return optimizer, Scheduler(optimizer, [0.1, 0.01])


def test_a_schedule_is_scaled_not_overwritten(loop) -> None:
    """With the scheduler known, the change holds after its next step, and ratios are kept."""
    optimizer, scheduler = scheduled()
    loop.control_context = LoopContext((optimizer,), (SimpleNamespace(_schedulers=[scheduler]),))
    loop.ends.send(**adjust(value=0.2))
    loop.batch()
    scheduler.factor = 0.5
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])
    loop.batch()
    applied, read_back = loop.results()
    assert (applied["previous_value"], applied["applied_value"]) == pytest.approx((0.1, 0.2))
    assert read_back["effective_value"] == pytest.approx(0.1)


def test_one_group_alone(loop) -> None:
    """A command for one group leaves the others as they were."""
    optimizer, scheduler = scheduled()
    loop.control_context = LoopContext((optimizer,), (scheduler,))
    loop.ends.send(**adjust(value=0.5, group=1))
    loop.batch()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.5])
    assert scheduler.base_lrs == pytest.approx([0.1, 0.5])


def test_an_unknown_schedule_is_refused(loop) -> None:
    """A group with initial_lr and no scheduler given is refused, with the line that mends it."""
    optimizer, _ = scheduled()
    loop.control_context = LoopContext((optimizer,), ())
    loop.ends.send(**adjust(value=0.5))
    loop.batch()
    (result,) = loop.results()
    assert result["state"] == "REJECTED"
    assert "scheduler=scheduler" in result["message"]
    assert optimizer.param_groups[0]["lr"] == 0.1
