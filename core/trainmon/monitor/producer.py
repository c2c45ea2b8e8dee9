"""One process and rank of a run, as the monitor knows it."""

from __future__ import annotations

from collections.abc import Iterable

from trainmon.monitor.link import TrainerLink
from trainmon.monitor.liveness import Liveness
from trainmon.monitor.pictures import PictureChecker
from trainmon.monitor.sequences import Sequences
from trainmon.v1.dashboard_pb2 import SessionState
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest, SessionConfig

__all__ = ["Producer", "present_ranks"]


class Producer:
    """One producer of one session.

    Args:
        request: Its registration.
        life: Its state machine.
    """

    def __init__(self, request: RegisterTrainingSessionRequest, life: Liveness) -> None:
        self.id = request.producer_id
        self.life = life
        self.link: TrainerLink | None = None
        self.sequences = Sequences()
        self.pictures = PictureChecker()
        self.last_seen_ms = 0
        self.config: SessionConfig | None = None
        """What it was told last."""
        self.last_step: int | None = None
        """Newest step of a trainer whose batches may carry none."""
        self.counts_steps = False
        """Whether its batches have ever carried a step but 0."""
        self.kept_picture_at: float | None = None
        """When a picture of a trainer that marks no key frames was last kept, in seconds."""
        self.end_is_unkept = False
        """Whether what it said last may be told again: it is not in the store yet."""
        self.standing: tuple[SessionState, bool] | None = None
        """State and end, as its session took them into account last; see ``refresh_for``."""
        self.describe(request)

    def describe(self, request: RegisterTrainingSessionRequest) -> None:
        """Take over what a registration says of this process."""
        self.rank = request.rank
        self.hostname = request.hostname
        self.pid = request.pid
        self.sends_metric_data = request.sends_metric_data


def present_ranks(producers: Iterable[Producer]) -> list[Producer]:
    """Return who stands for the run, by rank: of several with one rank the last that joined.

    A rank is started again as another producer; what became of the earlier one no longer counts,
    unless its stream is still open.
    """
    newest: dict[int, Producer] = {}
    linked = []
    for producer in producers:
        newest[producer.rank] = producer
        if producer.link is not None:
            linked.append(producer)
    present = {id(each): each for each in (*newest.values(), *linked)}
    return sorted(present.values(), key=lambda each: each.rank)
