"""Somebody who sends commands all the time, and remembers what was promised of each."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import grpc

from stack import eventually
from trainmon.v1.control_pb2 import CommandRecord, CommandState, ControlCommand, SetControl
from viewer import ENDS

if TYPE_CHECKING:
    from kills.ledger import Tally
    from kills.processes import Run
    from kills.stand import Stand

__all__ = ["Commander"]

_EVERY_S = 0.25
_TRIES = 40
#: A run has no more: of so many the monitor keeps every record.
_MOST = 900
#: One is over before many a fault is, the other never: clocks here are set by up to a day.
_LONG_MS = 10 * 86_400_000
_TIMES_TO_LIVE_MS = (None, 500, _LONG_MS)
_ENDS = {
    CommandState.COMMAND_STATE_APPLIED,
    CommandState.COMMAND_STATE_REJECTED,
    CommandState.COMMAND_STATE_EXPIRED,
}


class Commander:
    """Sets the control ``level`` of living runs to ever new values, from a thread.

    Args:
        stand: Whose monitor is asked.
    """

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="commander")
        self.recorded: dict[str, list[ControlCommand]] = {}
        """By run, what the monitor has answered to be on record."""
        self.refused: Counter[str] = Counter()
        """Why others were not taken."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait_for_another(self) -> None:
        """Wait until the monitor has taken another command."""
        before = self._count()
        eventually(self._count, "another command on record", 60, lambda count: count > before)

    def _count(self) -> int:
        return sum(map(len, tuple(self.recorded.values())))

    def _work(self) -> None:
        level = 0
        with self._stand.watching() as seen:
            while not self._stopping.wait(_EVERY_S):
                try:
                    sessions = [each for each in seen.sessions() if each.state not in ENDS]
                except grpc.RpcError:
                    continue
                for session in sessions[-3:]:
                    if len(self.recorded.get(session.session_name, ())) >= _MOST:
                        continue
                    level += 1
                    command = ControlCommand(
                        command_id=uuid.uuid4().hex,
                        issued_by="the stand",
                        time_to_live_ms=_TIMES_TO_LIVE_MS[level % len(_TIMES_TO_LIVE_MS)],
                        set_control=SetControl(name="level", value=level),
                    )
                    asked = CommandRecord(session_id=session.session_id, command=command)
                    if self._send(seen.send_again, asked):
                        self.recorded.setdefault(session.session_name, []).append(command)

    def _send(self, send: object, asked: CommandRecord) -> bool:
        """Send a command, again where no answer came; return whether it is on record."""
        for _ in range(_TRIES):
            try:
                send(asked)  # type: ignore[operator] # a method of the viewer
            except grpc.RpcError as error:
                if error.code() not in (
                    grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    grpc.StatusCode.CANCELLED,
                ):
                    self.refused[f"{error.code().name}: {error.details()}"] += 1
                    return False
                if self._stopping.wait(_EVERY_S):
                    return False
            else:
                return True
        return False

    # --- the end ----------------------------------------------------------------------------------

    def judge(self, run: Run, shown: Iterable[CommandRecord], tally: Tally) -> None:
        """Look at what became of every command of a run; ``shown`` is what is on record."""
        records: dict[str, list[CommandRecord]] = {}
        for record in shown:
            records.setdefault(record.command.command_id, []).append(record)
        file = run.folder / "levels"
        levels = file.read_text().split() if file.exists() else []
        done = Counter(float.fromhex(line) for line in levels)
        if run.stopped_by and run.ended:
            stop = records.pop(run.stopped_by, [])
            if [each.state for each in stop] != [CommandState.COMMAND_STATE_APPLIED]:
                tally.endless += 1
                tally.remarks.append(f"the command that stopped it: {stop}")
        tally.commands += len(records)
        for command in self.recorded.get(run.name, ()):
            if command.command_id not in records:
                tally.endless += 1
                tally.remarks.append(f"command {command.command_id} is no longer on record")
        for found in records.values():
            self._judge_one(found, done, run, tally)

    def _judge_one(
        self, found: list[CommandRecord], done: Counter[float], run: Run, tally: Tally
    ) -> None:
        record = found[0]
        told = f"command {record.command.command_id} is {CommandState.Name(record.state)}"
        times = done[record.command.set_control.value]
        applied = record.state == CommandState.COMMAND_STATE_APPLIED
        # The training, killed right after it had done it, could tell nobody.
        untold = run.killed and times == 1
        if len(found) != 1 or record.state not in _ENDS:
            tally.endless += 1
            tally.remarks.append(f"{told}, {len(found)} times on record")
        elif record.command.time_to_live_ms == _LONG_MS and "time to live" in record.result.message:
            tally.contradicted += 1
            tally.remarks.append(f"{told} within its time to live")
        elif times > 1 or (applied != (times == 1) and not (untold and not applied)):
            tally.contradicted += 1
            tally.remarks.append(
                f"{told} ({record.result.message}), and was carried out {times} times"
            )
