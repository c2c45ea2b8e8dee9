"""What a strange loop, a strange user and a strange moment do to a session: nothing."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import psutil
import pytest

import trainmon
from stack import eventually
from trainmon.channel import SlotState, Word
from trainmon.config import Settings
from trainmon.errors import ConfigurationError, StopTraining

#: Nobody listens there.
NOWHERE = "127.0.0.1:9"


def settings(exit_timeout_s: float = 0.0) -> Settings:
    """Settings of a run that nobody watches, and of which nothing is to be left."""
    # From the environment, for the relay writes below TRAINMON_HOME.
    return Settings.from_environment(
        monitor=NOWHERE, exit_timeout_s=exit_timeout_s, relay_linger_s=0.0
    )


def start(**arguments) -> trainmon.Session:
    """Start a session."""
    return trainmon.start_session("harmless", settings=settings(), **arguments)


@pytest.fixture
def session() -> Iterator[trainmon.Session]:
    """A session with a relay and without a monitor."""
    with start() as running:
        yield running


class Hostile:
    """Raises wherever it is touched."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"touched {name}")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    def __bool__(self) -> bool:
        raise RuntimeError("asked")

    __hash__ = None


STRANGE = {
    "loss of text": {"loss": "low"},
    "loss beyond floats": {"loss": 10**400},
    "loss that is hostile": {"loss": Hostile()},
    "loss of a fraction": {"loss": Fraction(1, 3)},
    "metrics as a list": {"metrics": [1, 2]},
    "metrics that are hostile": {"metrics": Hostile()},
    "metrics named with nought": {"metrics": {"a\0b": 1.0, "half a pair \ud800": 2.0}},
    "metrics beyond number": {"metrics": {str(name): 0.0 for name in range(70_000)}},
    "a step of text": {"optimizer_step": "seven"},
    "a negative step": {"optimizer_step": -1},
    "a step that is an array": {"optimizer_step": np.int64(7)},
    "a size that is an array": {"images": np.zeros((4, 8, 8)), "batch_size": np.int64(4)},
    "images that are hostile": {"images": Hostile()},
    "images of text": {"images": ["a", "b"]},
    "an image alone": {"images": np.zeros((8, 8))},
    "no images": {"images": np.zeros((0, 8, 8))},
    "objects": {"images": np.array([None, {}], object)},
    "lengths that differ": {"images": np.zeros((4, 8, 8)), "targets": np.zeros(5)},
    "a rate of text": {"learning_rate": "high"},
    "texts of a number": {"texts": 7},
}


@pytest.mark.parametrize("arguments", STRANGE.values(), ids=STRANGE.keys())
def test_every_batch_is_counted(session, caplog, arguments) -> None:
    """Whatever a batch is told of, nothing is raised, the step counts, and the next one is fine."""
    with caplog.at_level(logging.CRITICAL, "trainmon"):
        for _ in range(5):
            session.batch_end(**arguments)
        session.batch_end(loss=1.0)
    assert session.global_step == session.batch_index == session.counts["steps"] == 6
    words = session._words
    held = [words[Word.SLOT_0 + slot] for slot in range(3)]
    # At most the key frame of a batch that could be shown is on its way.
    assert held.count(SlotState.READY) <= 1


def test_a_hostile_optimizer_costs_its_rate_and_no_step(session, caplog) -> None:
    """Where the learning rate cannot be read, steps and control points go on."""

    class Optimizer:
        param_groups = ({"lr": "fast"},)

    with caplog.at_level(logging.CRITICAL, "trainmon"):
        for _ in range(3):
            session.batch_end(loss=1.0)
            session.control_point(Optimizer(), scheduler=Hostile())
            session.control_point(Hostile())
        session.epoch_end(average_loss=Hostile(), metrics={"a": "b", "c": np.float32(1)})
    assert session.global_step == 3
    assert session.epoch == 1
    assert session.counts["failures"] > 0


def test_what_cannot_be_read_is_told_by_the_call_it_was_given_to(session, caplog) -> None:
    """A word where a number was expected is told as the argument of the call that it was in."""
    session.batch_end(loss="low", metrics={"f1": "high"})
    session.epoch_end(validation_loss="low", metrics={"f2": "high"})
    for call in ("batch_end(loss", "batch_end(f1", "epoch_end(validation_loss", "epoch_end(f2"):
        assert f"trainmon: {call}=...)" in caplog.text


def test_what_has_no_text_is_told_as_what_it_is() -> None:
    """A hyperparameter or a class whose text raises is no bad configuration."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with start(hyperparameters={"model": Mute()}, class_names=["cat", Mute()]) as session:
        told = "(Mute, whose text raised RuntimeError)"
        assert session.info.hyperparameters == {"model": told}
        assert session.info.class_names == ("cat", told)


def test_a_name_without_end_is_cut_and_a_key_refused() -> None:
    """A monitor refuses names over 256 characters: people's are cut, a key must be as given."""
    with trainmon.start_session("n" * 1000, settings=settings()) as session:
        assert session.info.session_name == "n" * 255 + "…"
    with pytest.raises(ConfigurationError, match="at most 256 characters, not 300"):
        trainmon.start_session(run_key="k" * 300, settings=settings())


def test_a_run_that_nobody_can_see_says_so_once(caplog) -> None:
    """Without a monitor one line says so, and what to do."""
    with start() as session:
        session.batch_end(loss=1.0)
        eventually(lambda: session._words[Word.LINK_LOST_NS], "the link is known to be lost")
        session._words[Word.LINK_LOST_NS] -= 10_000_000_000
        session._relay._next_check_ns = 0
        session.batch_end(loss=1.0)
    told = [line for line in caplog.messages if f"no monitor answers at {NOWHERE}" in line]
    assert len(told) == 1
    assert "trainmon gateway" in told[0]


def test_a_logging_handler_that_raises_reaches_nobody(session) -> None:
    """A filter of the user's that raises on our warning does not raise into the loop."""

    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("no logs today")

    logger = logging.getLogger("trainmon")
    logger.addFilter(refuse)
    try:
        session.batch_end(loss="low")
    finally:
        logger.removeFilter(refuse)
    assert session.counts["failures"] >= 2


def test_an_error_that_cannot_be_told_is_told(session, caplog) -> None:
    """An exception whose text raises ends the run as failed, by its type."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(UnspeakableError), session:
        raise UnspeakableError
    assert session.closed


def test_no_generator_is_touched(session) -> None:
    """Starting, showing and ending a session draws nothing from the user's generators."""
    before = random.getstate(), np.random.get_state()[1].tolist()
    with start() as other:
        for _ in range(20):
            other.batch_end(images=np.zeros((64, 8, 8)), targets=np.zeros(64), loss=1.0)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_after_the_end_nothing_happens() -> None:
    """Every method of a closed session returns, and what was counted can still be read."""
    session = start()
    session.batch_end(loss=1.0)
    session.close()
    session.close("FAILED", "again")
    session.batch_end(images=np.zeros((4, 8, 8)), loss=1.0)
    session.epoch_end(average_loss=1.0)
    session.control_point(object())
    session.status("RUNNING")
    session.describe(total_epochs=3)
    session.resume_at(7, 1)
    session.add_control("dropout", set=lambda value: None)
    with session.evaluating():
        assert session.begin_step() is None
    assert session.counts["steps"] == 1
    assert session.closed
    assert not session.paused


def test_a_closed_session_keeps_nothing_of_the_users() -> None:
    """Optimizer, knobs and shared memory are let go of, also where the session stays."""

    class Optimizer:
        learning_rate = 0.1

    optimizer = Optimizer()
    session = start()
    session.add_control(
        "rate", set=optimizer.__setattr__, get=lambda at=optimizer: at.learning_rate
    )
    session.batch_end(images=np.zeros((4, 8, 8)), loss=1.0)
    session.control_point(optimizer)
    seen = weakref.ref(optimizer)
    session.close()
    del optimizer
    gc.collect()
    assert seen() is None
    assert session._channel.memory._map.closed


def test_sessions_leave_nothing_open() -> None:
    """One after another, sessions leave no descriptor, no map and no zombie behind."""
    this = psutil.Process()

    def opened() -> tuple[int, int]:
        maps = sum("trainmon" in each.path for each in this.memory_maps(grouped=False))
        return this.num_fds(), maps

    start().close()
    before = opened()
    for _ in range(15):
        start().close()
    assert opened() == before
    start().close()

    def zombies() -> int:
        start().close()  # whoever starts one buries those that have ended
        return sum(each.status() == psutil.STATUS_ZOMBIE for each in this.children())

    eventually(zombies, "few zombies", until=lambda count: count <= 2)


def test_two_sessions_at_once() -> None:
    """Two sessions in one process count by themselves and end by themselves."""
    with start() as one:
        with start() as other:
            one.batch_end(loss=1.0)
            other.batch_end(loss=1.0)
            other.batch_end(loss=1.0)
        assert other.closed
        one.batch_end(loss=1.0)
        assert (one.counts["steps"], other.counts["steps"]) == (2, 2)
        assert not one.closed


def test_a_session_that_closes_takes_no_other_ones_failures_with_it() -> None:
    """Of two sessions at once, the one that stays shows what its adapter does wrong."""
    with start() as one:
        start().close()
        one.step_ended({"nothing of the kind": 1})  # the first step, of which a picture is due
        assert one.counts["failures"] == 1
        (note,) = one._hello()["details"]["notes"]
        assert note.startswith("trainmon_collect_batch: TypeError")


def test_a_stop_of_another_session_goes_on_to_it() -> None:
    """A stop leaves the `with` of the session that was asked to stop, not one within it."""
    reached = []
    with start() as outer:
        outer._controls.stop = _command("outer")
        with start() as inner:
            inner._controls.stop = _command("inner")
            raise StopTraining("outer")
        reached.append("after the inner one")
    assert reached == []
    with start():
        raise StopTraining  # of the script's own


def _command(command_id: str):
    from trainmon.events import ControlCommand, ControlKind

    return ControlCommand(command_id, ControlKind.STOP)


def test_a_session_made_in_a_thread_is_used_and_closed_in_another() -> None:
    """A session belongs to no thread."""
    made = []
    thread = threading.Thread(target=lambda: made.append(start()))
    thread.start()
    thread.join()
    made[0].batch_end(loss=1.0)
    made[0].close()
    assert made[0].counts["steps"] == 1


def test_close_with_a_dead_relay_starts_another_that_is_told_the_rest() -> None:
    """What a dead relay had not read at the end goes to one that is started for it."""
    session = start()
    psutil.Process(session.relay_pid).kill()
    eventually(session._relay._process.poll, "dead", until=lambda code: code is not None)
    session.batch_end(loss=1.0)
    session.close()
    assert session.counts["relay_restarts"] == 1


def test_close_during_a_restart_leaves_nothing_behind() -> None:
    """A session that ends while its relay is being started again leaks neither memory nor ends."""
    this = psutil.Process()
    start().close()
    before = this.num_fds()
    session = start()
    psutil.Process(session.relay_pid).kill()
    eventually(session._relay._process.poll, "dead", until=lambda code: code is not None)
    session._relay.check(time.monotonic_ns() + 10**9)
    restarting = session._relay._restarting
    session._let_go()
    trainmon.capture.lifecycle.forget(session)
    restarting.join(10)
    assert not restarting.is_alive()
    assert session.relay_pid is None
    assert this.num_fds() == before


def test_ctrl_c_while_a_session_ends_ends_it(monkeypatch) -> None:
    """Ctrl-C in the wait for the relay ends the wait, and lets go of everything."""
    session = trainmon.start_session("harmless", settings=settings(exit_timeout_s=60))

    def interrupted(timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session._relay, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.close()
    assert session.closed
    assert session._channel.memory._map.closed


def test_a_relay_that_never_starts_is_given_up_and_that_is_said_once(monkeypatch, caplog) -> None:
    """A relay that ends at each start is started no more; the end of the run waits for nobody."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with trainmon.start_session("harmless", settings=settings(exit_timeout_s=60)) as session:

        def step() -> bool:
            session._relay._next_check_ns = 0
            session.batch_end(loss=1.0)
            return session._relay.is_over()

        eventually(step, "it is given up")
        restarts = session.counts["relay_restarts"]
        for _ in range(20):
            step()
        assert session.counts["relay_restarts"] == restarts
        monkeypatch.setattr(session._relay, "wait", lambda _: pytest.fail("it waits for nobody"))
    (told,) = caplog.messages
    assert "the relay ended 9 times in a row" in told


def test_close_waits_no_longer_than_it_may() -> None:
    """With the relay stopped, the wait at the end is the exit timeout, by the clock it uses."""
    session = trainmon.start_session("harmless", settings=settings(exit_timeout_s=0.3))
    relay = session.relay_pid
    os.kill(relay, signal.SIGSTOP)
    began_s = time.monotonic()
    session.close()
    assert 0.3 <= time.monotonic() - began_s < 5
    os.kill(relay, signal.SIGKILL)


def test_a_full_ring_refuses_and_counts() -> None:
    """With the relay stopped and the ring full, scalars are refused and counted, events are not."""
    small = replace(settings(), buffer_bytes=1 << 16)
    session = trainmon.start_session("harmless", settings=small)
    relay = session.relay_pid
    os.kill(relay, signal.SIGSTOP)
    for _ in range(2000):
        session.batch_end(loss=1.0)
    session.epoch_end()
    counts = session.counts
    assert counts["steps"] == 2000
    assert counts["refused_scalars"] > 0
    assert counts["refused_events"] == 0
    session.close()
    os.kill(relay, signal.SIGKILL)


def test_counts_continue_where_a_run_was_resumed(session, caplog) -> None:
    """A resumed run counts on; steps trained again are a later attempt; nonsense is refused."""
    session.batch_end(loss=1.0)
    session.resume_at(100, 3)
    assert (session.global_step, session.epoch, session.batch_index) == (100, 3, 0)
    session.batch_end(loss=1.0)
    session.resume_at(np.int64(50), 1)
    assert session._steps.attempt == 1
    with caplog.at_level(logging.CRITICAL, "trainmon"):
        session.resume_at(-1, 0)
        session.resume_at(1.5, 0)
        session.resume_at(0, 2**40)
    assert (session.global_step, session.epoch) == (50, 1)
    session.batch_end(loss=1.0)
    assert session.global_step == 51


def test_what_a_later_relay_is_told_can_always_be_told(session, caplog) -> None:
    """Details that are no JSON are told as a failure and do not spoil the next relay's start."""
    with caplog.at_level(logging.CRITICAL, "trainmon"):
        session.describe(total_epochs=object())
        session.describe(total_epochs=np.int64(7), notes=[7])
        session.status("SLEEPING")
    session.status("EVALUATING", "on the test set")
    hello = session._hello()
    assert hello["details"]["total_epochs"] == 7
    assert (hello["status"], hello["message"]) == ("EVALUATING", "on the test set")


def test_evaluating_goes_back_to_what_was(session) -> None:
    """After an evaluation the run shows as what it was before."""
    with session.evaluating():
        assert session._status == "EVALUATING"
    assert session._status == "STARTING"
    session.batch_end(loss=1.0)
    with session.evaluating():
        pass
    assert session._status == "RUNNING"


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ({"total_epochs": 0}, "total_epochs"),
        ({"batches_per_epoch": 1.5}, "batches_per_epoch"),
        ({"class_names": "cat"}, "class_names"),
        ({"class_names": 10}, "class_names"),
        ({"hyperparameters": argparse.Namespace(a=1)}, "hyperparameters"),
        ({"normalization": {"mean": [0], "std": [0]}}, "normalization"),
        ({"rank": 1}, "rank"),
        ({"adapter": "none of that name"}, "adapter"),
    ],
)
def test_a_bad_argument_is_named(arguments, setting) -> None:
    """A bad argument raises at the start, with its name and what it should be."""
    with pytest.raises(ConfigurationError, match=f"{setting} is .* should be"):
        start(**arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    """Counts from NumPy are taken, and a name of None is none."""
    with trainmon.start_session(
        None, settings=settings(), total_epochs=np.int64(3), batches_per_epoch=np.int32(5)
    ) as session:
        assert (session.info.total_epochs, session.info.batches_per_epoch) == (3, 5)
        assert session.info.session_name != "None"


def test_a_relay_that_cannot_be_started_is_said_once(monkeypatch, caplog) -> None:
    """Without an interpreter to start, the training goes on, and one line tells it."""
    monkeypatch.setattr("sys.executable", None)
    with caplog.at_level(logging.WARNING, "trainmon"), start() as session:
        for step in range(1, 4):
            session._relay.check(time.monotonic_ns() + step * 10**9)
            if session._relay._restarting is not None:
                session._relay._restarting.join(10)
            session.batch_end(loss=1.0)
    assert session.counts["steps"] == 3
    assert len([each for each in caplog.records if "could not start" in each.message]) == 1
