"""What a step passes through: little, for none of it is in the caches then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np

import trainmon
from trainmon.channel import Real, Word
from trainmon.config import Settings

NOWHERE = "127.0.0.1:9"
HOME = str(Path(trainmon.__file__).parent)
METRICS = {"accuracy": 0.5, "grad_norm": 1.5, "perplexity": 20.0}


def called(step: Callable[[], None]) -> list[str]:
    """Return which of trainmon's functions a step of the loop calls, each as often as it does."""
    found: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # What a dataclass makes of itself has no file.
        if event == "call" and code.co_filename.startswith((HOME, "<string>")):
            found.append(code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(before)
    return found


def test_a_step_passes_through_few_functions() -> None:
    """A step and a control point that want nothing make no object of a class, and call little.

    Each function and object more is one more to be fetched from memory between the steps of a
    training that fills the caches: thirty cost ten times what they cost in a loop of their own.
    """
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])
    settings = Settings.from_environment(monitor=NOWHERE, exit_timeout_s=0.0, relay_linger_s=0.0)
    with trainmon.start_session("calls", settings=settings) as session:

        def bare() -> None:
            session.batch_end(loss=0.5, metrics=METRICS)
            session.control_point()

        def steered() -> None:
            session.batch_end(loss=0.5, metrics=METRICS)
            session.control_point(optimizer)

        for step, most in ((bare, 16), (steered, 18)):
            for _ in range(2):
                step()
            found = called(step)
            assert "__init__" not in found
            assert len(found) <= most, found


def test_a_picture_like_the_one_before_passes_through_half_of_what_the_first_does() -> None:
    """What a picture's kind has told once is not asked again."""
    settings = Settings.from_environment(monitor=NOWHERE, exit_timeout_s=0.0, relay_linger_s=0.0)
    with trainmon.start_session("calls", settings=settings) as session:
        frames = session._steps._frames
        block = frames._channel.block
        shown = {
            "images": np.zeros((16, 128, 128, 3), np.uint8),
            "outputs": np.zeros((16, 10), np.float32),
            "targets": np.zeros(16, np.int64),
        }

        def watched() -> list[str]:
            """Return what a step calls that a picture is wanted of."""
            session._steps._pace._beat_ns = -(10**18)
            session._steps._wary = False  # as on a machine with time to spare
            block.reals[Real.FRAMES_PER_SECOND] = 60.0
            for slot in range(3):
                frames._channel.slots.free(slot)
            copied = block.words[Word.BYTES_COPIED]
            found = called(lambda: session.batch_end(loss=0.5, metrics=METRICS, **shown))
            assert block.words[Word.BYTES_COPIED] - copied == shown["images"].nbytes
            return found

        first = watched()
        watched()
        again = watched()
        assert len(again) <= 72, again
        assert len(again) < 0.6 * len(first)
