"""Commands on their way down to the training, each once, and their results on the way up."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from trainmon import wire
from trainmon.channel import Kind, RelayChannel, Word, pack_json
from trainmon.v1.control_pb2 import CommandResult, CommandState, ControlCommand

__all__ = ["Commands"]

#: Commands remembered, to know one that is sent again.
_REMEMBERED = 1000


class Commands:
    """Passes commands down; answers those that the training cannot answer any more.

    Args:
        channel: Whose command ring is written.
        wake: Tells the training that something is there.
        answer: Takes results to be sent up.
    """

    def __init__(
        self,
        channel: RelayChannel,
        wake: Callable[[], None],
        answer: Callable[[CommandResult], None],
    ) -> None:
        self._channel = channel
        self._wake = wake
        self._answer = answer
        self._seen: OrderedDict[str, CommandResult] = OrderedDict()
        self._over = ""

    def over(self, reason: str) -> None:
        """Reject what comes from now on, and what was passed down and never answered."""
        self._over = reason
        for command_id, result in list(self._seen.items()):
            if result.state == CommandState.COMMAND_STATE_ACCEPTED:
                self._reject(command_id, reason)

    def receive(self, command: ControlCommand) -> None:
        """Take in a command from the monitor, or one that it sends again."""
        command_id = command.command_id
        if command_id in self._seen:
            self._answer(self._seen[command_id])
            return
        if self._over:
            self._reject(command_id, self._over)
            return
        try:
            fields = wire.command_fields(command, time.monotonic())
        except ValueError as error:
            self._reject(command_id, str(error))
            return
        if not self._channel.commands.write(pack_json(Kind.COMMAND, fields)):
            self._reject(
                command_id,
                f"{self._channel.commands.used} bytes of commands wait for the training to reach "
                "a control point; its limit is reached: send it again once they are done",
            )
            return
        words = self._channel.block.words
        words[Word.COMMANDS] += 1
        self._wake()
        accepted = CommandState.COMMAND_STATE_ACCEPTED
        self.finished(
            CommandResult(command_id=command_id, state=accepted, timestamp_ms=wire.now_ms())
        )

    def finished(self, result: CommandResult) -> None:
        """Take in what became of a command, and pass it on."""
        self._remember(result.command_id, result)
        self._answer(result)

    def _reject(self, command_id: str, reason: str) -> None:
        self.finished(
            CommandResult(
                command_id=command_id,
                state=CommandState.COMMAND_STATE_REJECTED,
                message=reason,
                timestamp_ms=wire.now_ms(),
            )
        )

    def _remember(self, command_id: str, result: CommandResult) -> None:
        self._seen[command_id] = result
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
