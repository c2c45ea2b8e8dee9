"""Control points of several ranks: what one is asked all do, at one step, and one tells of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from memory_store import MemoryStore
from stack import eventually
from trainmon.capture import controls
from trainmon.capture.bare import BareLoop, LoopContext, objection
from trainmon.capture.controls import ControlPoint
from trainmon.capture.ranks.courier import Timing
from trainmon.capture.ranks.group import Group, rank_and_world, shared_run_key
from trainmon.capture.ranks.peers import Peers
from trainmon.channel import Kind, pack_json
from trainmon.errors import StopTraining

TIMING = Timing(idle_s=0.005, busy_s=0.002, lead_s=0.05, silent_s=30)


class PatientRelay:
    """Stands where RelayProcess stands and has nothing to say."""

    def wake(self) -> None:
        pass

    def check(self, now_ns: int) -> None:
        pass

    def wait(self, timeout_s: float) -> None:
        pass


class Rank:
    """A training loop in a thread, its control point, and the relay's end of its channel."""

    def __init__(self, ends, find: Callable[[], Group | None], orphan_timeout_s: float) -> None:
        self.ends = ends
        self.optimizer = SimpleNamespace(learning_rate=1.0)
        self.control_context = LoopContext((self.optimizer,), ())
        self.step = 0
        self.rates: list[float] = []
        self.failures: list[str] = []
        adapter = BareLoop()
        self.point = ControlPoint(
            ends.trainer,
            PatientRelay(),
            lambda command: adapter.trainmon_apply_control(self, command),
            lambda kind, fields: ends.trainer.records.write(pack_json(kind, fields)),
            lambda: self.step,
            lambda: "RUNNING",
            lambda where, error: self.failures.append(f"{where}: {error}"),
            orphan_timeout_s,
        )
        self.point.check = lambda command: objection(self.control_context, command)
        self.point.peers = Peers(self.point, 2, find, TIMING)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._train, name="training")
        self.results: dict[str, dict] = {}

    def _train(self) -> None:
        try:
            while not self.over.wait(0.001):
                self.point.visit()
                self.rates.append(self.optimizer.learning_rate)
                self.step += 1
        except StopTraining:
            return

    def result(self, command_id: str) -> dict:
        """Return what became of a command that was asked of this rank."""

        def read() -> dict | None:
            self.results.update({each["command_id"]: each for each in self.ends.of(Kind.RESULT)})
            return self.results.get(command_id)

        found = eventually(read, f"an end of {command_id}")
        assert found is not None
        return found

    def close(self) -> None:
        self.over.set()
        self.point.leave(5)
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.ends.close()


@pytest.fixture
def store() -> MemoryStore:
    """What the ranks share."""
    return MemoryStore()


@pytest.fixture
def ranks(ends, store) -> Iterator[Callable[..., list[Rank]]]:
    """Start ranks that train; ended with the test."""
    made: list[Rank] = []

    def start(*numbers: int, orphan_timeout_s: float = 600) -> list[Rank]:
        for rank in numbers:
            group = Group(store, rank, 2, lambda: True)
            made.append(Rank(type(ends)(), lambda group=group: group, orphan_timeout_s))
        for each in made:
            each.thread.start()
        return made

    yield start
    for each in made:
        each.close()


def test_one_is_asked_and_all_do_it(ranks) -> None:
    """The rate changes at the same step on both; the rank that was asked alone tells of it."""
    first, second = ranks(0, 1)
    first.ends.send(command_id="a", kind="adjust_learning_rate", factor=0.5)
    told = first.result("a")
    assert told["state"] == "APPLIED"
    step = told["applied_at_step"]
    eventually(lambda: min(len(each.rates) for each in (first, second)) > step, "that step")
    for each in (first, second):
        assert each.rates[: step + 1] == [1.0] * step + [0.5]
    assert second.ends.of(Kind.RESULT) == []


def test_sent_again_it_is_not_done_again(ranks) -> None:
    """Neither while it waits for its step, nor later, nor where another rank is asked then."""
    first, second = ranks(0, 1)
    for _ in range(2):
        first.ends.send(command_id="a", kind="adjust_learning_rate", factor=0.5)
    told = first.result("a")
    second.ends.send(command_id="a", kind="adjust_learning_rate", factor=0.5)
    again = second.result("a")
    assert again["applied_at_step"] == told["applied_at_step"]
    assert first.optimizer.learning_rate == second.optimizer.learning_rate == 0.5


def test_what_was_done_is_not_refused_at_the_end(ranks) -> None:
    """A command that came to both ranks, and was carried out as one proposed it, has one end."""
    first, second = ranks(0, 1)
    for each in (first, second):
        each.ends.send(command_id="a", kind="stop")
    for each in (first, second):
        each.thread.join(10)
        each.point.leave(5)
        assert each.result("a")["state"] == "APPLIED"
        assert each.failures == []
    assert first.step == second.step


def test_what_one_cannot_do_none_does(ranks) -> None:
    """A rank without an optimizer objects in its vote."""
    first, second = ranks(0, 1)
    second.control_context = LoopContext((), ())
    first.ends.send(command_id="a", kind="adjust_learning_rate", factor=0.5)
    told = first.result("a")
    assert told["state"] == "REJECTED"
    assert told["message"].startswith("rank 1: no optimizer is known here")
    assert first.optimizer.learning_rate == 1.0


@pytest.mark.parametrize("kind", ["save_checkpoint", "evaluate"])
def test_what_a_loop_does_not_offer_is_refused_on_all(ranks, kind) -> None:
    """Before it is tried anywhere: no rank tells of a failure."""
    first, second = ranks(0, 1)
    first.ends.send(command_id="a", kind=kind)
    told = first.result("a")
    assert told["state"] == "REJECTED"
    assert "this loop does not say how to" in told["message"]
    step = max(first.step, second.step)
    eventually(lambda: min(first.step, second.step) > step, "more steps")
    assert first.failures == second.failures == []


def test_a_rank_that_fails_where_the_others_did_it_tells(ranks) -> None:
    """What no vote could foresee is told on that rank's page."""
    first, second = ranks(0, 1)
    second.point.check = lambda _: ""
    second.control_context = LoopContext((), ())
    first.ends.send(command_id="a", kind="adjust_learning_rate", factor=0.5)
    assert first.result("a")["state"] == "APPLIED"
    (failure,) = eventually(lambda: second.failures, "a failure that is told")
    assert "no optimizer is known here" in failure


def test_pause_resume_and_stop(ranks) -> None:
    """All wait at one step, go on together, and stop at one."""
    first, second = ranks(0, 1)
    first.ends.send(command_id="a", kind="pause")
    eventually(lambda: first.point.paused and second.point.paused, "a pause of both")
    assert first.step == second.step == first.result("a")["applied_at_step"]
    first.ends.send(command_id="b", kind="resume")
    assert first.result("b")["state"] == "APPLIED"
    first.ends.send(command_id="c", kind="stop")
    for each in (first, second):
        each.thread.join(10)
    assert first.step == second.step == first.result("c")["applied_at_step"]


def test_an_orphaned_pause_ends_on_all_ranks(ranks) -> None:
    """Where no rank's monitor can end it any more, all resume at once, and say why."""
    first, second = ranks(0, 1)
    first.ends.send(command_id="a", kind="pause")
    eventually(lambda: first.point.paused and second.point.paused, "a pause of both")
    step = second.step
    for each in (first, second):
        each.point._orphan_timeout_s = -1
    eventually(lambda: min(first.step, second.step) > step, "the end of both pauses")
    for each in (first, second):
        told = each.ends.records()
        assert "the monitor has been away" in told[-1][1]["message"]
        # The resume that ended it is nobody's affair.
        assert {fact["command_id"] for kind, fact in told if kind is Kind.RESULT} <= {"a"}


def test_a_pause_is_kept_while_one_rank_can_be_told_to_end_it(ranks, monkeypatch) -> None:
    """The rank whose link is gone asks again and again, and resumes with the others when told."""
    monkeypatch.setattr(controls, "_ASK_AGAIN_S", 0.0)
    first, second = ranks(0, 1)
    first.ends.send(command_id="a", kind="pause")
    eventually(lambda: first.point.paused and second.point.paused, "a pause of both")
    step, refused = second.step, []
    refuse = first.point.refuse

    def hear(command, reason) -> None:
        refused.append(reason)
        refuse(command, reason)

    first.point.refuse = hear
    first.point._orphan_timeout_s = -1
    eventually(lambda: refused, "three refusals", until=lambda told: len(told) >= 3)
    assert set(refused) == {"rank 1: its link to the monitor is there"}
    assert first.point.paused
    assert second.point.paused
    second.ends.send(command_id="b", kind="resume")
    eventually(lambda: min(first.step, second.step) > step, "the end of both pauses")


def test_a_store_that_fails_ends_the_pause(ranks, store) -> None:
    """Each rank leaves by itself, and refuses what could not be agreed."""
    first, second = ranks(0, 1)
    first.ends.send(command_id="a", kind="pause")
    eventually(lambda: first.point.paused and second.point.paused, "a pause of both")
    step = first.step
    store.broken = True
    eventually(lambda: min(first.step, second.step) > step, "the end of both pauses")
    second.ends.send(command_id="b", kind="pause")
    told = second.result("b")
    assert told["state"] == "REJECTED"
    assert "the store is gone" in told["message"]


@pytest.mark.parametrize("problem", ["none", "fails"])
def test_ranks_without_a_group_are_not_steered(ends, problem) -> None:
    """A run that is known to have more ranks refuses what only this one would do."""

    def find() -> Group | None:
        if problem == "fails":
            raise RuntimeError("no such store")
        return None

    rank = Rank(ends, find, 600)
    rank.ends.send(command_id="a", kind="adjust_learning_rate", factor=0.5)
    rank.point.visit()
    told = rank.result("a")
    assert told["state"] == "REJECTED"
    assert "2 ranks, which must all do this at the same step" in told["message"]
    reason = {"none": "no torch.distributed process group", "fails": "no such store"}[problem]
    assert reason in told["message"]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "4"}, (1, 4)),
        ({"WORLD_SIZE": "4"}, (0, 1)),
        ({"RANK": "4", "WORLD_SIZE": "4"}, (0, 1)),
        ({"RANK": "one", "WORLD_SIZE": "4"}, (0, 1)),
    ],
)
def test_the_launcher_tells_the_rank(environment, found) -> None:
    """As torchrun does; what cannot be meant so is not believed."""
    assert rank_and_world(environment) == found


def test_a_key_that_is_given_is_the_ranks_key() -> None:
    """Without one, and without a process group, there is none to share."""
    assert shared_run_key({"TRAINMON_RUN_KEY": "one"}) == "one"
    assert shared_run_key({}) is None
