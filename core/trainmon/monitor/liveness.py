"""What one training process is doing: what it said, what its relay sees, what silence says.

Pure: no clock of its own, no I/O. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from trainmon.v1.dashboard_pb2 import SessionState
from trainmon.v1.telemetry_pb2 import TrainerLiveness, TrainingStatus

__all__ = ["Liveness", "joint_state"]

_STATE_OF_STATUS = {
    TrainingStatus.TRAINING_STATUS_UNSPECIFIED: SessionState.SESSION_STATE_STARTING,
    TrainingStatus.TRAINING_STATUS_STARTING: SessionState.SESSION_STATE_STARTING,
    TrainingStatus.TRAINING_STATUS_RUNNING: SessionState.SESSION_STATE_RUNNING,
    TrainingStatus.TRAINING_STATUS_PAUSED: SessionState.SESSION_STATE_PAUSED,
    TrainingStatus.TRAINING_STATUS_EVALUATING: SessionState.SESSION_STATE_EVALUATING,
    TrainingStatus.TRAINING_STATUS_STOPPING: SessionState.SESSION_STATE_STOPPING,
    TrainingStatus.TRAINING_STATUS_COMPLETED: SessionState.SESSION_STATE_COMPLETED,
    TrainingStatus.TRAINING_STATUS_STOPPED: SessionState.SESSION_STATE_STOPPED,
    TrainingStatus.TRAINING_STATUS_FAILED: SessionState.SESSION_STATE_FAILED,
}
_ENDS = frozenset(
    {
        TrainingStatus.TRAINING_STATUS_COMPLETED,
        TrainingStatus.TRAINING_STATUS_STOPPED,
        TrainingStatus.TRAINING_STATUS_FAILED,
    }
)
_NOT_YET = frozenset(
    {TrainingStatus.TRAINING_STATUS_UNSPECIFIED, TrainingStatus.TRAINING_STATUS_STARTING}
)
#: How a run of several ranks ended, worst first: the first that any rank met.
_WORST_FIRST = (
    SessionState.SESSION_STATE_FAILED,
    SessionState.SESSION_STATE_DIED,
    SessionState.SESSION_STATE_STOPPED,
    SessionState.SESSION_STATE_COMPLETED,
)


class Liveness:
    """The state machine of one producer.

    Args:
        timeout_s: Silence after which the link counts as lost.
        now: When the producer registered.
    """

    def __init__(self, timeout_s: float, now: float) -> None:
        self._timeout_s = timeout_s
        self._status = TrainingStatus.TRAINING_STATUS_UNSPECIFIED
        self._trainer = TrainerLiveness.TRAINER_LIVENESS_UNSPECIFIED
        self._linked = False
        self._lost = False
        self._waiting_since = now

    @classmethod
    def restored(
        cls, timeout_s: float, since: float, status: TrainingStatus, trainer: TrainerLiveness
    ) -> Liveness:
        """Return the state machine of a producer that an earlier monitor knew.

        Its stream ended with that monitor: unless it had said goodbye, the link is lost.

        Args:
            timeout_s: As above.
            since: When it was last heard from.
            status: What it had said last.
            trainer: What its relay had seen last.
        """
        life = cls(timeout_s, since)
        life.said(status, trainer)
        life._lost = True
        return life

    @property
    def status(self) -> TrainingStatus:
        """What it said last."""
        return self._status

    @property
    def trainer(self) -> TrainerLiveness:
        """What its relay saw last."""
        return self._trainer

    @property
    def linked(self) -> bool:
        """Whether a stream is open."""
        return self._linked

    @property
    def unlinked_since(self) -> float:
        """When the stream was last lost, or the producer registered; meaningless while linked."""
        return self._waiting_since

    @property
    def ended(self) -> bool:
        """Whether the training said goodbye, or the relay said it for a dead one."""
        return self._status in _ENDS

    @property
    def state(self) -> SessionState:
        """The state now."""
        died = self._trainer == TrainerLiveness.TRAINER_LIVENESS_DIED
        if died and (not self.ended or self._status == TrainingStatus.TRAINING_STATUS_FAILED):
            return SessionState.SESSION_STATE_DIED
        if self.ended:
            return _STATE_OF_STATUS[self._status]
        if self._lost:
            return SessionState.SESSION_STATE_LINK_LOST
        silent = self._trainer == TrainerLiveness.TRAINER_LIVENESS_SILENT
        if silent and self._status == TrainingStatus.TRAINING_STATUS_RUNNING:
            return SessionState.SESSION_STATE_STALLED
        return _STATE_OF_STATUS[self._status]

    def registered(self, now: float) -> None:
        """The producer registered, again perhaps; its stream is expected within the timeout."""
        if not self._linked:
            self._waiting_since = now

    def link_opened(self) -> None:
        """Its stream is open."""
        self._linked = True
        self._lost = False

    def link_ended(self, now: float) -> None:
        """Its stream is gone; unless it had said goodbye, whether it trains is not known."""
        self._linked = False
        self._lost = True
        self._waiting_since = now

    def link_superseded(self, now: float) -> None:
        """Its stream is no longer its own, because it registered again: the next one will come."""
        self._linked = False
        self._waiting_since = now

    def said(self, status: TrainingStatus, trainer: TrainerLiveness) -> None:
        """It said what it does; ``trainer`` unspecified leaves what the relay saw before."""
        if status in _STATE_OF_STATUS and status != TrainingStatus.TRAINING_STATUS_UNSPECIFIED:
            self._status = status
        self.seen(trainer)

    def seen(self, trainer: TrainerLiveness) -> None:
        """The relay said what it sees of the process; unspecified changes nothing."""
        if trainer != TrainerLiveness.TRAINER_LIVENESS_UNSPECIFIED:
            self._trainer = trainer

    def stepped(self) -> None:
        """A batch ended: it trains, even if it never said so."""
        if self._status in _NOT_YET:
            self._status = TrainingStatus.TRAINING_STATUS_RUNNING

    def check(self, now: float) -> None:
        """Notice that a registered producer opened no stream in time."""
        if not self._linked and now - self._waiting_since > self._timeout_s:
            self._lost = True


def joint_state(lives: Iterable[Liveness]) -> SessionState:
    """Return the state of a run of several ranks.

    While any rank lives it is that of the first living one; ranks are given in order. When all
    have ended it is the worst end.
    """
    ends = set()
    for life in lives:
        if not life.ended:
            return life.state
        ends.add(life.state)
    return next(
        (state for state in _WORST_FIRST if state in ends), SessionState.SESSION_STATE_STARTING
    )
