"""What lies on an accelerator is handed on as it is: no step waits for it to be read."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from trainmon.v1.dashboard_pb2 import GetBatchRequest, SessionState

PATIENCE_S = 120
COMPLETED = SessionState.SESSION_STATE_COMPLETED

pytestmark = pytest.mark.timeout(300)  # frameworks take their time to be imported

#: Torch's tensors of a device need one: tests/gpu.
backends = pytest.mark.parametrize("backend", ["tensorflow", "jax"], indirect=True, scope="session")


@pytest.fixture(scope="module")
def seen(request, tmp_path_factory, backend, trainings):
    """The trainings of device.py as the monitor has them, and what they say of themselves."""
    folder = tmp_path_factory.mktemp("device")
    with trainings(
        folder, backend, "device.py", str(folder), TRAINMON_KEY_FRAME_INTERVAL="0.1"
    ) as (child, watcher):
        assert child.wait(PATIENCE_S) == 0
        told = json.loads((folder / "read.json").read_text())
        sessions = {each.session_name: each for each in watcher.sessions()}
        yield SimpleNamespace(told=told, sessions=sessions, watcher=watcher)


def _batch(seen, name):
    request = GetBatchRequest(session_id=seen.sessions[name].session_id, step=0)
    return seen.watcher._stub.GetBatch(request, timeout=10).batch_data


@backends
def test_no_step_reads_a_value(seen):
    """The thread that trains reads neither loss, nor rate, nor metrics, nor samples."""
    assert seen.told["reads"] == []


@backends
@pytest.mark.parametrize("name", ["pictures", "texts"])
def test_every_number_arrives(seen, name):
    """Each step's loss and rate are shown, though all arrived only after the fit."""
    summary = seen.sessions[name]
    assert summary.state == COMPLETED
    found = seen.watcher.metrics(summary.session_id)
    assert len(found["loss"].values) == len(found["accuracy"].values) == 10
    assert list(found["learning_rate"].values) == pytest.approx(
        [0.1 * 0.5 ** (step / 4) for step in range(10)], rel=1e-5
    )
    history = seen.told[name]
    for epoch in (0, 1):
        losses = found["loss"].values[5 * epoch : 5 * epoch + 5]
        mean = (20 * sum(losses[:4]) + 4 * losses[4]) / 84
        assert mean == pytest.approx(history["loss"][epoch], rel=1e-4)
    snapshot = seen.watcher.snapshot(summary.session_id)
    assert [epoch.average_loss for epoch in snapshot.epochs] == pytest.approx(history["loss"])
    assert not [note for note in snapshot.notes if "Error" in note]


@backends
def test_samples_arrive(seen):
    """Pictures, predictions, truth and losses of the samples, and the size of their batch."""
    batch = _batch(seen, "pictures")
    assert len(batch.images) == len(batch.predictions) == len(batch.ground_truth) == 16
    assert len(batch.sample_losses) == 16
    assert batch.batch_size == 20
    assert batch.images[0].channels == 3


@backends
def test_token_ids_arrive_as_words(seen):
    """Texts are decoded when their token ids are here."""
    batch = _batch(seen, "texts")
    assert len(batch.texts) == len(batch.predictions) == 16
    assert all(set(text.text.split()) <= {"a", "very", "good", "film"} for text in batch.texts)


class Unreadable:
    """An array that must not be looked into."""

    def __init__(self, *shape, dtype="torch.float32"):
        self.shape, self.dtype = shape, dtype

    def __getattr__(self, name):
        raise AssertionError(f"it was read: {name}")


def test_a_step_is_handed_on_unread():
    """Loss, rate, metrics and extras of any framework go to the session as they are."""
    pytest.importorskip("keras")
    from trainmon_keras.fit import Fit

    told = {}
    session = SimpleNamespace(step_ended=lambda raw, **named: told.update(named, raw=raw))
    fit = object.__new__(Fit)
    fit.session, fit._each, fit._next_metrics, fit._vocabulary = session, 1, {}, ()
    fit._done, fit._steps_per_epoch, fit._said_of_words, fit._numbers = 0, None, False, {}
    loss, rate, accuracy, images = Unreadable(), Unreadable(), Unreadable(), Unreadable(16, 8, 8, 1)
    extras = {"loss": loss, "learning_rate": rate, "images": images}
    fit._tell_step(extras, {"loss": Unreadable(), "accuracy": accuracy, "text": "a", "more": {}})
    assert told["loss"] is loss
    assert told["metrics"] == {"accuracy": accuracy, "learning_rate": rate}
    assert told["raw"].values["images"] is images
