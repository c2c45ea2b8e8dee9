"""Real loops of Torch, with and without a session: the same losses and weights, bit for bit."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest

import trainmon
from trainmon.channel import Real
from trainmon.config import Settings

torch = pytest.importorskip("torch", reason="torch is not installed")

NOWHERE = "127.0.0.1:9"
Shown = Callable[[Any, Any, Any], dict[str, Any]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads could add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def watched() -> trainmon.Session:
    """Start a session that is asked for pictures at every step."""
    # From the environment, for the relay writes below TRAINMON_HOME.
    settings = Settings.from_environment(monitor=NOWHERE, exit_timeout_s=0, relay_linger_s=0)
    session = trainmon.start_session("torch", settings=settings)
    session._channel.block.reals[Real.FRAMES_PER_SECOND] = 1e6
    return session


class Digits(torch.utils.data.Dataset):
    """Random pictures with random labels, the same for every run."""

    def __len__(self) -> int:
        return 70  # of batches of 32 the last has 6

    def __getitem__(self, index: int) -> tuple[Any, int]:
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, 8, 8, generator=generator), index % 4


def train(opened: AbstractContextManager[Any], shown: Shown, workers: int = 0) -> list[bytes]:
    """Train two epochs with dropout and noise; return every loss and all weights as bytes."""
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 4)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=10)
    loader = torch.utils.data.DataLoader(
        Digits(),
        batch_size=32,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    kept = []
    with opened as session:
        for _ in range(2):
            for images, targets in loader:
                noisy = images + 0.1 * torch.randn_like(images) + random.random() * np.random.rand()
                outputs = model(noisy)
                loss = torch.nn.functional.cross_entropy(outputs, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                kept.append(loss.detach().numpy().tobytes())
                if session is not None:
                    session.batch_end(**shown(noisy, outputs, targets), loss=loss)
                    session.control_point(optimizer, scheduler=scheduler)
                # In place, as some loops do with buffers they use again.
                images.zero_()
            if session is not None:
                session.epoch_end()
    kept += [parameter.detach().numpy().tobytes() for parameter in model.parameters()]
    return kept


SHOWN: dict[str, Shown] = {
    "plain": lambda x, y, t: {"images": x, "outputs": y, "targets": t},
    "bfloat16": lambda x, y, t: {"images": x.bfloat16(), "outputs": y.bfloat16(), "targets": t},
    "float16": lambda x, y, t: {"images": x.half(), "outputs": y.half(), "targets": t},
    "channels_last": lambda x, y, t: {
        "images": x.to(memory_format=torch.channels_last),
        "outputs": y,
        "targets": t,
    },
    "not contiguous": lambda x, y, t: {
        "images": x.transpose(2, 3),
        "outputs": y.t().contiguous().t(),
        "targets": t.repeat(2)[::2],
    },
    "a graph": lambda x, y, t: {"images": x.requires_grad_(), "outputs": y * 2, "targets": t},
    "int64": lambda x, y, t: {"images": (x * 255).long(), "targets": t.int()},
    "lists": lambda x, y, t: {"images": list(x), "outputs": list(y), "targets": t.tolist()},
    "numpy, read-only": lambda x, y, t: {"images": _read_only(x.numpy()), "targets": t.numpy()},
    "multi-hot": lambda x, y, t: {"images": x, "targets": torch.nn.functional.one_hot(t, 4)},
    "texts": lambda x, y, t: {"texts": [f"a {label}" for label in t], "targets": t},
    "one": lambda x, y, t: {"images": x[:1], "outputs": y[:1], "targets": t[:1]},
    "none": lambda x, y, t: {"images": x[:0], "outputs": y[:0], "targets": t[:0]},
    "no dimension": lambda x, y, t: {"images": x[0, 0, 0, 0], "targets": t[0]},
    "sparse": lambda x, y, t: {"images": x, "targets": torch.nn.functional.one_hot(t).to_sparse()},
    "complex": lambda x, y, t: {"images": torch.fft.fft(x), "outputs": y},
    "float8": lambda x, y, t: {"images": x.to(torch.float8_e4m3fn), "outputs": y},
    "meta": lambda x, y, t: {"images": x.to("meta"), "outputs": y},
    "boxes": lambda x, y, t: {"images": x, "targets": [{"boxes": x, "labels": t}] * len(x)},
    "conjugate": lambda x, y, t: {"images": torch.fft.fft(x).conj().real, "outputs": y.conj()},
    "a subclass": lambda x, y, t: {"images": x.as_subclass(Tagged), "outputs": y},
}


class Tagged(torch.Tensor):
    """A tensor as torchvision's: a subclass from another module."""


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


@pytest.fixture(scope="module")
def alone() -> list[bytes]:
    """Losses and weights without trainmon."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    kept = train(nullcontext(), SHOWN["plain"])
    torch.set_num_threads(before)
    return kept


@pytest.mark.parametrize("name", SHOWN)
def test_nothing_changes(name: str, alone: list[bytes], caplog: Any) -> None:
    """Whatever kind of arrays a loop shows, its losses and weights are the same to the last bit."""
    session = watched()
    with caplog.at_level(logging.CRITICAL, "trainmon"):
        assert train(session, SHOWN[name]) == alone
    assert session.counts["steps"] == 6


@pytest.mark.parametrize("name", ["plain", "bfloat16", "a graph", "lists", "a subclass"])
def test_useful_arrays_are_no_failure(name: str) -> None:
    """What can be shown is shown: nothing is counted as failed."""
    session = watched()
    train(session, SHOWN[name])
    assert session.counts["failures"] == 0
    assert session.counts["bytes_copied"] > 0


def test_workers_that_are_forked_are_left_alone(alone: list[bytes]) -> None:
    """With the forked workers of a DataLoader the numbers are the same as without us."""
    session = watched()
    assert train(session, SHOWN["plain"], workers=2) == train(
        nullcontext(), SHOWN["plain"], workers=2
    )
    assert session.counts["steps"] == 6


def test_nothing_is_kept_past_the_step() -> None:
    """Images, outputs and the graph of the loss are free as soon as the loop lets go of them."""
    with watched() as session:
        images = torch.rand(16, 3, 8, 8)
        weights = torch.rand(192, 4, requires_grad=True)
        outputs = images.flatten(1) @ weights
        loss = outputs.sum()
        seen = [weakref.ref(each) for each in (images, outputs, loss)]
        session.batch_end(images=images, outputs=outputs, targets=torch.zeros(16), loss=loss)
        del images, outputs, loss
        gc.collect()
        assert [each() for each in seen] == [None, None, None]


def test_ctrl_c_in_the_midst_of_batches_ends_the_run() -> None:
    """Ctrl-C while batches are shown leaves the `with` as Ctrl-C does, and closes the session."""
    session = watched()
    images = torch.rand(16, 3, 8, 8)

    def loop() -> None:
        with session:
            for step in range(10**9):
                session.batch_end(images=images, loss=1.0)
                if step == 50:
                    signal.setitimer(signal.ITIMER_REAL, 0.001)

    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            loop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert session.closed
