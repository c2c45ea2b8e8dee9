"""An observer plugin that writes down, in order, what it is told of a run."""

from __future__ import annotations

import os
from pathlib import Path

from trainmon.plugin import hookimpl


def note(*words: object) -> None:
    """Add a line to the diary that the environment names."""
    with Path(os.environ["CONTRACT_DIARY"]).open("a", encoding="utf-8") as diary:
        diary.write(" ".join(map(str, (os.getpid(), *words))) + "\n")


@hookimpl
def trainmon_session_started(session):
    """A run has started."""
    note("started", session.run_key)


@hookimpl
def trainmon_batch_ended(batch):
    """A batch has ended."""
    note("batch", batch.global_step, batch.epoch, batch.batch_index, batch.loss)


@hookimpl
def trainmon_epoch_ended(epoch):
    """An epoch has ended."""
    note("epoch", epoch.epoch)


@hookimpl
def trainmon_session_ended(ended):
    """A run has ended."""
    note("ended", ended.status)
