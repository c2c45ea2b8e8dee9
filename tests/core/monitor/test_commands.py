"""The life of a command: pure, with a clock to turn, and over real sockets."""

from __future__ import annotations

import math

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor.clock import Clock
from trainmon.monitor.command_checks import check_command
from trainmon.monitor.commands import MAX_COMMANDS, OVERDUE_S, CommandBook
from trainmon.monitor.refusal import RefusedError
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    CommandResult,
    CommandState,
    ControlCommand,
    ControlSpec,
    ControlType,
    Evaluate,
    Pause,
    SetControl,
    Stop,
)
from trainmon.v1.telemetry_pb2 import SessionDetails, TrainingStatus


class Still(Clock):
    """A clock that goes on when told."""

    def __init__(self):
        self.at = 100.0

    def monotonic(self):
        return self.at


class Book:
    """A book with its clock and everything it announced."""

    def __init__(self):
        self.clock = Still()
        self.told = []
        self.book = CommandBook("s", self.clock, self._tell)

    def _tell(self, record):
        self.told.append((record.command.command_id, CommandState.Name(record.state)[14:]))

    def give(self, command_id, **fields):
        """Record and announce a pause."""
        command = ControlCommand(command_id=command_id, pause=Pause(), **fields)
        record = self.book.record(command)
        self.book.announce(record)
        return record

    def send(self, command_id):
        """Do what a stream does: take the command, and say that it was written."""
        command = self.book.to_send(command_id)
        self.book.was_sent(command_id)
        return command

    def answer(self, command_id, state, **fields):
        """Do what a training does."""
        value = CommandState.Value(f"COMMAND_STATE_{state}")
        return self.book.answered(CommandResult(command_id=command_id, state=value, **fields))

    def states(self, command_id):
        """Return the states a command went through."""
        record = self.book.get(command_id)
        return [CommandState.Name(each.state)[14:] for each in record.transitions]


@pytest.fixture
def book():
    """Return a book of commands."""
    return Book()


def test_a_command_is_on_record_before_it_is_sent(book):
    """The first thing anyone hears of a command is that it is recorded."""
    record = book.give("a")
    assert book.told == [("a", "RECORDED")]
    assert record.result.command_id == "a"
    assert book.send("a").command_id == "a"
    assert book.told[-1] == ("a", "SENT")


def test_an_applied_command_keeps_its_values(book):
    """What the training answers is what the record says."""
    book.give("a")
    book.send("a")
    book.answer("a", "ACCEPTED")
    book.answer("a", "APPLIED", applied_at_step=7, previous_value=0.1, applied_value=0.01)
    record = book.book.get("a")
    assert book.states("a") == ["RECORDED", "SENT", "ACCEPTED", "APPLIED"]
    assert record.result.applied_at_step == 7
    assert (record.result.previous_value, record.result.applied_value) == (0.1, 0.01)


def test_the_effective_value_may_come_later(book):
    """A second APPLIED adds the value that was read back, and no second end."""
    book.give("a")
    book.send("a")
    book.answer("a", "APPLIED", applied_at_step=7, applied_value=0.01)
    book.answer("a", "APPLIED", effective_value=0.005)
    record = book.book.get("a")
    assert book.states("a")[-2:] == ["SENT", "APPLIED"]
    assert (record.result.applied_at_step, record.result.effective_value) == (7, 0.005)


@pytest.mark.parametrize("end", ["APPLIED", "REJECTED", "EXPIRED"])
def test_an_end_is_final(book, end):
    """What has ended stays as it ended, whatever comes later."""
    book.give("a")
    book.send("a")
    book.answer("a", end)
    book.answer("a", "ACCEPTED")
    book.book.link_lost()
    book.book.session_ended(sent_too=True)
    assert book.states("a") == ["RECORDED", "SENT", end]
    assert not book.book.unsent()


def test_a_dropped_link_makes_what_was_sent_unconfirmed(book):
    """SENT and ACCEPTED become UNCONFIRMED; what was never sent stays RECORDED."""
    for name in "abc":
        book.give(name)
    book.send("a")
    book.send("b")
    book.answer("b", "ACCEPTED")
    book.book.link_lost()
    last = [book.states(name)[-1] for name in "abc"]
    assert last == ["UNCONFIRMED", "UNCONFIRMED", "RECORDED"]
    assert book.book.unsent() == ["a", "b", "c"]
    book.send("a")
    book.answer("a", "APPLIED")
    assert book.states("a") == ["RECORDED", "SENT", "UNCONFIRMED", "SENT", "APPLIED"]


def test_an_overdue_answer_is_unconfirmed(book):
    """After 5 s without any answer nobody knows; the answer may still come."""
    book.give("a")
    book.send("a")
    book.clock.at += OVERDUE_S
    book.book.check()
    assert book.states("a")[-1] == "SENT"
    book.clock.at += 0.1
    book.book.check()
    assert book.states("a")[-1] == "UNCONFIRMED"
    book.answer("a", "APPLIED")
    assert book.states("a")[-1] == "APPLIED"


def test_only_what_was_never_sent_expires_by_time(book):
    """The time to live ends a recorded command here, one that was sent only in the training."""
    book.give("kept", time_to_live_ms=1000)
    book.give("sent", time_to_live_ms=1000)
    book.send("sent")
    book.clock.at += 1.0
    book.book.check()
    assert book.states("kept")[-1] == "EXPIRED"
    assert book.states("sent")[-1] == "SENT"
    assert book.book.to_send("kept") is None


def test_a_late_send_tells_the_time_to_live_that_is_left(book):
    """The training counts from when it receives, so the wait here is taken off."""
    book.give("a", time_to_live_ms=1000)
    book.clock.at += 0.75
    assert book.send("a").time_to_live_ms == 250
    assert book.book.get("a").command.time_to_live_ms == 1000
    book.book.link_lost()
    book.clock.at += 60
    assert book.send("a").time_to_live_ms == 0


def test_expired_in_the_queue_is_not_sent(book):
    """What expires between two ticks is not sent either."""
    book.give("a", time_to_live_ms=10)
    book.clock.at += 1
    assert book.book.to_send("a") is None
    assert book.states("a")[-1] == "EXPIRED"


def test_the_sessions_end_expires_what_is_left(book):
    """At the end what was never sent expires at once, what was sent when no answer can come."""
    book.give("a")
    book.give("b")
    book.send("a")
    book.book.session_ended(sent_too=False)
    assert [book.states(name)[-1] for name in "ab"] == ["SENT", "EXPIRED"]
    book.book.session_ended(sent_too=True)
    assert book.states("a")[-1] == "EXPIRED"
    assert "session ended" in book.book.get("a").result.message


def test_an_answer_to_an_unknown_command_is_kept(book):
    """After a monitor's restart a training's answer is still the truth."""
    assert not book.answer("old", "APPLIED", applied_at_step=3)
    assert book.told == [("old", "APPLIED")]


def test_bad_answers_are_complained_of(book):
    """An answer without id, or with a state no training can give, changes nothing."""
    assert "command_id" in book.answer("", "APPLIED")
    assert "state" in book.answer("a", "SENT")
    assert not list(book.book)


def test_the_record_is_bounded(book):
    """The oldest command that has ended makes room; unfinished ones are never forgotten."""
    for number in range(MAX_COMMANDS):
        book.give(str(number))
    with pytest.raises(RefusedError, match="wait for the training") as raised:
        book.give("more")
    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    book.answer("5", "REJECTED")
    book.give("more")
    assert book.book.get("5") is None
    assert book.book.get("4") is not None


def test_a_link_that_comes_and_goes_does_not_grow_a_record(book):
    """The states of one command are bounded; the first and the newest stay."""
    book.give("a")
    for _ in range(500):
        book.send("a")
        book.book.link_lost()
    states = book.states("a")
    assert len(states) < 100
    assert (states[0], states[-1]) == ("RECORDED", "UNCONFIRMED")


def spec(name, kind, **fields):
    """Return a declared control."""
    return ControlSpec(name=name, type=getattr(ControlType, f"CONTROL_TYPE_{kind}"), **fields)


CONTROLS = {
    each.name: each
    for each in (
        spec("learning_rate", "NUMBER", maximum=1.0),
        spec("dropout", "NUMBER", minimum=0.0, maximum=1.0),
        spec("depth", "INTEGER"),
        spec("augment", "BOOLEAN"),
        spec("mode", "CHOICE", choices=["a", "b"]),
        spec("reset", "TRIGGER"),
        spec("evaluate", "TRIGGER", unavailable_reason="there is no evaluation set"),
    )
}


def rate(**fields):
    """Return a command that adjusts the learning rate."""
    return ControlCommand(adjust_learning_rate=AdjustLearningRate(**fields))


def setting(name, value):
    """Return a command that sets a control."""
    return ControlCommand(set_control=SetControl(name=name, value=value))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (ControlCommand(), "no action"),
        (ControlCommand(command_id="x" * 129, pause=Pause()), "129"),
        (ControlCommand(issued_by="x" * 9000, pause=Pause()), "bytes"),
        (rate(), "no value"),
        (rate(learning_rate=0), "greater than 0"),
        (rate(learning_rate=-0.1), "-0.1"),
        (rate(learning_rate=math.nan), "nan"),
        (rate(learning_rate=math.inf), "inf"),
        (rate(learning_rate=2), "to 1"),
        (rate(factor=0), "factor is 0"),
        (rate(factor=math.nan), "nan"),
        (setting("", 1), "no control ''"),
        (setting("momentum", 1), "no control 'momentum'; it has declared: augment, depth"),
        (setting("dropout", 1.5), "0 to 1"),
        (setting("dropout", math.nan), "finite"),
        (setting("depth", 1.5), "whole"),
        (setting("augment", 2), "0 or 1"),
        (setting("mode", 2), "0 to 1, an index of: a, b"),
        (setting("mode", -1), "an index of"),
    ],
)
def test_what_can_never_hold_is_refused(command, words):
    """Missing actions, unknown controls and impossible values are refused with the reason."""
    with pytest.raises(RefusedError) as raised:
        check_command(command, CONTROLS)
    assert raised.value.status is Status.INVALID_ARGUMENT
    assert words in raised.value.reason


def test_what_cannot_be_used_now_is_refused():
    """A declared control that is not available is refused with the training's own reason."""
    with pytest.raises(RefusedError, match="no evaluation set") as raised:
        check_command(ControlCommand(evaluate=Evaluate()), CONTROLS)
    assert raised.value.status is Status.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "command",
    [
        ControlCommand(pause=Pause()),
        rate(learning_rate=1e-9),
        rate(factor=10),
        setting("dropout", 0),
        setting("depth", -3),
        setting("augment", 1),
        setting("mode", 1),
        setting("reset", math.nan),
    ],
)
def test_what_may_hold_is_taken(command):
    """Everything within the declared bounds passes."""
    check_command(command, CONTROLS)


async def test_a_command_travels_to_the_training_and_back(running, watch):
    """Recorded, sent, accepted, applied: every state reaches every viewer."""
    monitor, trainer = running
    viewers = [await watch(monitor, trainer.session_id) for _ in range(2)]
    record = await monitor.command(
        trainer.session_id, command_id="c", issued_by="me", pause=Pause()
    )
    assert record.state in {
        CommandState.COMMAND_STATE_RECORDED,
        CommandState.COMMAND_STATE_SENT,
    }
    got = await trainer.receive("command")
    assert (got.command_id, got.issued_by, got.WhichOneof("action")) == ("c", "me", "pause")
    applied = CommandState.COMMAND_STATE_APPLIED
    for number, state in enumerate((CommandState.COMMAND_STATE_ACCEPTED, applied)):
        result = CommandResult(command_id="c", state=state, applied_at_step=12)
        await trainer.send(number + 2, command_result=result)
    for viewer in viewers:
        event = await viewer.until("command_record", lambda record: record.state == applied)
        states = [CommandState.Name(each.state)[14:] for each in event.command_record.transitions]
        assert states == ["RECORDED", "SENT", "ACCEPTED", "APPLIED"]
        assert event.command_record.result.applied_at_step == 12


async def test_the_same_id_is_the_same_command(running):
    """A command sent twice reaches the training once, and gets the record there is."""
    monitor, trainer = running
    for _ in range(2):
        record = await monitor.command(trainer.session_id, command_id="c", pause=Pause())
        assert record.command.command_id == "c"
    await monitor.command(trainer.session_id, command_id="d", stop=Stop())
    got = [(await trainer.receive("command")).command_id for _ in range(2)]
    assert got == ["c", "d"]
    assert len(list(monitor.session(trainer.session_id).commands)) == 2


async def test_a_command_without_an_id_gets_one(running):
    """The monitor names what the client did not name."""
    monitor, trainer = running
    record = await monitor.command(trainer.session_id, pause=Pause())
    assert record.command.command_id
    assert (await trainer.receive("command")).command_id == record.command.command_id


async def test_a_command_to_an_ended_session_is_refused(running):
    """There is nothing to control any more; a known id still gets its record."""
    monitor, trainer = running
    await monitor.command(trainer.session_id, command_id="c", pause=Pause())
    await trainer.receive("command")
    await trainer.status("COMPLETED", sequence=2)
    await trainer.settle()
    with pytest.raises(GRPCError, match="has ended") as raised:
        await monitor.command(trainer.session_id, pause=Pause())
    assert raised.value.status is Status.FAILED_PRECONDITION
    record = await monitor.command(trainer.session_id, command_id="c", pause=Pause())
    assert record.command.command_id == "c"


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
async def test_an_impossible_learning_rate_is_refused(running, value):
    """Nothing is recorded or sent of a learning rate that can never hold."""
    monitor, trainer = running
    change = AdjustLearningRate(learning_rate=value)
    with pytest.raises(GRPCError, match="learning_rate is") as raised:
        await monitor.command(trainer.session_id, adjust_learning_rate=change)
    assert raised.value.status is Status.INVALID_ARGUMENT
    assert not list(monitor.session(trainer.session_id).commands)


async def test_a_command_waits_for_the_training_to_come_back(running, open_trainer):
    """Given while the link is lost, it is sent when the training registers again."""
    monitor, trainer = running
    await trainer.stream.end()
    await trainer.ending()
    record = await monitor.command(trainer.session_id, command_id="c", stop=Stop())
    assert record.state == CommandState.COMMAND_STATE_RECORDED
    await monitor.register(run_key="run", producer_id="p")
    again = await open_trainer(monitor, trainer.session_id, "p")
    await again.beat()
    assert (await again.receive("command")).command_id == "c"


async def test_what_is_not_final_is_sent_again_on_take_over(running, open_trainer):
    """A reconnecting training gets every command again that has no end yet, oldest first."""
    monitor, trainer = running
    for name in "abc":
        await monitor.command(trainer.session_id, command_id=name, pause=Pause())
        await trainer.receive("command")
    applied = CommandState.COMMAND_STATE_APPLIED
    await trainer.send(2, command_result=CommandResult(command_id="b", state=applied))
    await trainer.settle()
    await monitor.register(run_key="run", producer_id="p")
    book = monitor.session(trainer.session_id).commands
    assert book.get("a").state == CommandState.COMMAND_STATE_UNCONFIRMED
    again = await open_trainer(monitor, trainer.session_id, "p")
    await again.beat()
    assert [(await again.receive("command")).command_id for _ in range(2)] == ["a", "c"]


async def test_a_results_value_becomes_the_controls_value(running):
    """After a change the control shows the value now in force."""
    monitor, trainer = running
    details = SessionDetails(controls=[ControlSpec(name="learning_rate", current_value=0.1)])
    await trainer.status("RUNNING", sequence=2, details=details)
    await trainer.settle()
    change = AdjustLearningRate(learning_rate=0.02)
    await monitor.command(trainer.session_id, command_id="c", adjust_learning_rate=change)
    applied = CommandState.COMMAND_STATE_APPLIED
    result = CommandResult(command_id="c", state=applied, applied_value=0.02)
    await trainer.send(3, command_result=result)
    await trainer.settle()
    controls = monitor.session(trainer.session_id).registration.controls
    assert controls[0].current_value == 0.02


async def test_commands_go_to_the_first_rank(monitor, open_trainer):
    """Of several ranks the lowest with an open stream is told."""
    trainers = []
    for rank in (1, 0):
        answer = await monitor.register(
            run_key="a", producer_id=f"p{rank}", rank=rank, world_size=2
        )
        trainer = await open_trainer(monitor, answer.session_id, f"p{rank}", own=True)
        await trainer.status("RUNNING", sequence=1)
        await trainer.settle()
        trainers.append(trainer)
    await monitor.command(answer.session_id, command_id="c", pause=Pause())
    assert (await trainers[1].receive("command")).command_id == "c"
    await trainers[1].stream.end()
    await trainers[1].ending()
    await monitor.command(answer.session_id, command_id="d", pause=Pause())
    assert (await trainers[0].receive("command")).command_id == "d"


def test_a_state_answers_only_what_asked_for_it():
    """Of a pause and a stop that were sent, STOPPED answers the stop; what was not sent waits."""
    book = Book()
    book.give("pause")
    book.send("pause")
    book.give("unsent")
    book.book.record(ControlCommand(command_id="stop", stop=Stop()))
    book.send("stop")
    book.book.shown_by(TrainingStatus.TRAINING_STATUS_STOPPED, 7)
    states = {each.command.command_id: CommandState.Name(each.state)[14:] for each in book.book}
    assert states == {"pause": "SENT", "unsent": "RECORDED", "stop": "APPLIED"}
    assert book.book.get("stop").result.applied_at_step == 7
    book.book.shown_by(TrainingStatus.TRAINING_STATUS_PAUSED, None)
    assert book.book.get("pause").state == CommandState.COMMAND_STATE_APPLIED
    assert not book.book.get("pause").result.HasField("applied_at_step")
    assert book.book.get("unsent").state == CommandState.COMMAND_STATE_RECORDED
