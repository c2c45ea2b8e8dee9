"""A loop of one's own, in NumPy: what every adapter is measured against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import trainmon
from contract import LINE, Log, Plan, main
from trainmon.adapters import open_run

PART = ""
NEEDS = ()
FRAMEWORK = "numpy"
WAYS = (LINE,)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True
KNOB = ""


class Model:
    """Softmax regression of pictures of 8 × 8 in three classes."""

    def __init__(self) -> None:
        self.weights = np.zeros((64, 3))
        # As torch's optimizers look, which is all that trainmon asks of one.
        self.optimizer = SimpleNamespace(param_groups=[{"lr": 0.0}])

    def step(self, images: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float]:
        """Train a batch; return logits and loss."""
        inputs = images.reshape(len(images), -1)
        logits = inputs @ self.weights
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        truth = np.eye(3)[targets]
        loss = -np.log((shares * truth).sum(axis=1)).mean()
        slope = inputs.T @ (shares - truth) / len(inputs)
        self.weights -= self.optimizer.param_groups[0]["lr"] * slope
        return logits, float(loss)


def data(plan: Plan) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the batches of an epoch."""
    generator = np.random.default_rng(0)
    return [(generator.random((4, 8, 8)), generator.integers(0, 3, 4)) for _ in range(plan.batches)]


def loop(session: trainmon.Session, model: Model, plan: Plan, log: Log) -> None:
    """Train one fit."""
    batches = data(plan)
    for epoch in range(plan.epochs):
        for batch, (images, targets) in enumerate(batches):
            rate = model.optimizer.param_groups[0]["lr"]
            logits, loss = model.step(images, targets)
            session.batch_end(images=images, outputs=logits, targets=targets, loss=loss)
            log.batch(epoch=epoch, batch=batch, loss=loss, learning_rate=rate)
            session.control_point(model.optimizer)
        session.epoch_end()


def train(plan: Plan, log: Log) -> Callable[[], object]:
    """Train as planned."""
    model = Model()
    model.optimizer.param_groups[0]["lr"] = plan.learning_rate
    folder = Path(plan.folder)

    def save(_: object) -> None:
        path = folder / "weights.npy"
        np.save(path, model.weights)
        log.checkpoint(path)

    for _ in range(plan.fits):
        session = open_run(
            model, adapter="bare", total_epochs=plan.epochs, batches_per_epoch=plan.batches,
            **plan.session,
        )  # fmt: skip
        session.add_control("save_checkpoint", save)
        session.add_control("evaluate", lambda _: log.evaluated())
        session.add_control("counter", *log.knob("counter"))
        session.add_control("pair", *log.knob("pair"))
        with session:
            loop(session, model, plan, log)
        log.fit_ended()
    return session.close


if __name__ == "__main__":
    main(train)
