"""Commands through the whole relay: a real process on a real channel, a real gRPC stream."""

from __future__ import annotations

import time

from trainmon.channel import Kind, Word, unpack
from trainmon.v1.control_pb2 import CommandState, ControlCommand, Pause, SetControl
from trainmon.v1.telemetry_pb2 import (
    TelemetryResponse,
)


def commands_of(trainer) -> list[dict]:
    """Return the commands that have come down, in order."""
    found = []
    while (payload := trainer.channel.commands.read()) is not None:
        kind, fields = unpack(payload)
        assert kind is Kind.COMMAND
        found.append(fields)
    trainer.channel.commands.release()
    return found


async def test_a_command_reaches_the_training_with_a_call(monitor, linked, eventually):
    """Its fields as the control point wants them; its time to live on the training's clock."""
    before = time.monotonic()
    command = ControlCommand(command_id="c1", issued_by="ada", time_to_live_ms=60_000)
    command.set_control.CopyFrom(SetControl(name="dropout", value=0.25))
    await monitor.send(TelemetryResponse(command=command))
    await eventually(lambda: linked.words[Word.COMMANDS] == 1, "a command")
    [fields] = commands_of(linked)
    expires_s = fields.pop("expires_at_s")
    assert before + 60 <= expires_s <= time.monotonic() + 60
    assert fields == {
        "command_id": "c1",
        "kind": "set_control",
        "issued_by": "ada",
        "name": "dropout",
        "value": 0.25,
    }
    await eventually(linked.called, "a call")


async def test_a_learning_rate_keeps_what_was_left_out_apart(monitor, linked, eventually):
    """Absolute or a factor; all groups or one."""
    absolute = ControlCommand(command_id="a")
    absolute.adjust_learning_rate.learning_rate = 0.01
    relative = ControlCommand(command_id="b")
    relative.adjust_learning_rate.factor = 0.5
    relative.adjust_learning_rate.group = 0
    for command in (absolute, relative):
        await monitor.send(TelemetryResponse(command=command))
    await eventually(lambda: linked.words[Word.COMMANDS] == 2, "both commands")
    first, second = commands_of(linked)
    assert first["value"] == 0.01
    assert not {"factor", "group", "optimizer_index", "expires_at_s"} & first.keys()
    assert (second["factor"], second["group"]) == (0.5, 0)
    assert "value" not in second


def results(monitor, state: str) -> list:
    """Return the results of a state received so far."""
    wanted = CommandState.Value(f"COMMAND_STATE_{state}")
    return [each for each in monitor.of("command_result") if each.state == wanted]


async def test_a_command_sent_again_is_answered_and_not_done_twice(monitor, linked, eventually):
    """Before its result it is accepted already, after it the result comes again."""
    response = TelemetryResponse(command=ControlCommand(command_id="c1", pause=Pause()))
    await monitor.send(response)
    await monitor.wait(lambda: results(monitor, "ACCEPTED"), "the acceptance")
    await monitor.send(response)
    await monitor.wait(lambda: len(results(monitor, "ACCEPTED")) == 2, "the same again")
    linked.tell(Kind.RESULT, command_id="c1", state="APPLIED", applied_at_step=7, message="done")
    await monitor.wait(lambda: results(monitor, "APPLIED"), "a result")
    await monitor.send(response)
    await monitor.wait(lambda: len(results(monitor, "APPLIED")) == 2, "the result again")
    for result in results(monitor, "APPLIED"):
        assert (result.command_id, result.applied_at_step, result.message) == ("c1", 7, "done")
        assert not result.HasField("effective_value")
    assert linked.words[Word.COMMANDS] == 1
    assert len(commands_of(linked)) == 1


async def test_a_command_nobody_understands_is_rejected_with_the_reason(monitor, linked):
    """One of a newer monitor, or one that asks for nothing."""
    await monitor.send(TelemetryResponse(command=ControlCommand(command_id="empty")))
    [result] = await monitor.wait(lambda: results(monitor, "REJECTED"), "a rejection")
    assert "no action" in result.message
    assert linked.words[Word.COMMANDS] == 0


async def test_commands_that_nobody_takes_are_rejected_when_the_ring_is_full(monitor, linked):
    """A training that never reaches a control point costs bounded memory."""
    for number in range(1000):
        command = ControlCommand(command_id=f"c{number}", issued_by="x" * 200, pause=Pause())
        await monitor.send(TelemetryResponse(command=command))
    [result, *_] = await monitor.wait(lambda: results(monitor, "REJECTED"), "a rejection")
    assert "control point" in result.message
    await monitor.wait(lambda: len(monitor.of("command_result")) == 1000, "every answer")
    assert len(results(monitor, "ACCEPTED")) == linked.words[Word.COMMANDS] < 1000


async def test_a_command_asked_for_too_late_is_rejected(monitor, linked):
    """A run that has ended takes none, and what it never answered is answered for it."""
    monitor.acknowledges = False
    command = ControlCommand(command_id="early", pause=Pause())
    await monitor.send(TelemetryResponse(command=command))
    await monitor.wait(lambda: results(monitor, "ACCEPTED"), "the acceptance")
    linked.tell(Kind.CLOSE, status="COMPLETED")
    await monitor.wait(lambda: results(monitor, "REJECTED"), "the answer")
    late = ControlCommand(command_id="late", pause=Pause())
    await monitor.send(TelemetryResponse(command=late))
    await monitor.wait(lambda: len(results(monitor, "REJECTED")) == 2, "the other answer")
    rejected = [(each.command_id, each.message) for each in results(monitor, "REJECTED")]
    reason = "the training has ended"
    assert rejected == [("early", reason), ("late", reason)]
