"""What people's scripts do, on each backend: every run is whole, and shows what it should."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from trainmon.v1.dashboard_pb2 import SessionState

pytestmark = pytest.mark.timeout(550)  # the first of a backend waits for all scripts

COMPLETED = SessionState.SESSION_STATE_COMPLETED

#: Steps, epochs and what each picture has, by script.
RUNS = {
    "mnist_convnet": (12, 2, "images predictions truth losses"),
    "column_of_classes": (25, 1, "images predictions truth losses"),
    "binary": (7, 1, "images predictions truth losses"),
    "multi_label": (7, 1, "images predictions truth losses"),
    "regression": (7, 1, "images predictions truth losses"),
    "segmentation": (7, 1, "images predictions truth losses"),
    "several_inputs": (7, 1, "images predictions truth"),
    "transfer_learning": (21, 3, "images predictions truth losses"),
    "many_fits": (6, 3, "images predictions truth losses"),
    "custom_train_step": (7, 1, "images predictions truth losses"),
    "loss_of_its_own": (7, 1, "images predictions truth"),
    "kinds_of_data": (20, 5, "images predictions truth losses"),
    "class_weights": (7, 1, "images predictions truth losses"),
    "mixed_precision": (7, 1, "images predictions truth losses"),
    "just_in_time": (5, 1, "images predictions truth losses"),
    "accumulated": (7, 1, "images predictions truth losses"),
    "channels_first": (7, 1, "images predictions truth losses"),
    "eagerly": (7, 1, "images predictions truth losses"),
    "several_steps_at_once": (20, 2, "images predictions truth losses"),
    "early_stopping": (10, 2, "images predictions truth losses"),
    "resumed": (20, 2, "images predictions truth losses"),
    "restored": (16, 2, "images predictions truth losses"),
    "failing_callback": (10, 1, "images predictions truth losses"),
    "interrupted": (10, 1, "images predictions truth losses"),
    "words": (2, 1, "texts predictions truth losses"),
    "unknown_words": (2, 1, ""),
    "table": (2, 1, ""),
    "large_pictures": (2, 1, "images predictions truth losses"),
    "autoencoder": (7, 1, "images losses"),
    "normalised": (7, 1, "images predictions truth losses"),
    "image_folders": (2, 1, "images predictions truth losses"),
    "image_folders_mapped": (2, 1, "images predictions truth losses"),
    "detection": (2, 1, "images truth"),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_script_is_shown_whole(told, name):
    """Its steps and epochs are all there, and nothing of ours failed."""
    steps, epochs, _ = RUNS[name]
    summary = told.summary(name)
    assert summary.state == COMPLETED
    assert summary.framework == "keras"
    assert summary.global_step == steps - 1
    snapshot = told.snapshot(name)
    assert len(snapshot.epochs) == epochs
    assert not [note for note in snapshot.notes if "Error" in note or "cannot be shown" in note]


@pytest.mark.parametrize("name", [name for name, run in RUNS.items() if run[2]])
def test_a_picture_has_all_its_parts(told, name):
    """Pictures, predictions, truth and losses of the samples, in equal number."""
    wanted = RUNS[name][2].split()
    batch = told.batch(name)
    found = {
        "images": len(batch.images),
        "texts": len(batch.texts),
        "predictions": len(batch.predictions),
        "truth": len(batch.ground_truth),
        "losses": len(batch.sample_losses),
    }
    assert [part for part, count in found.items() if count] == wanted
    assert {count for count in found.values() if count} <= {8, 16}


@pytest.mark.parametrize("name", ["column_of_classes", "custom_train_step", "loss_of_its_own",
                                  "mixed_precision", "accumulated"])  # fmt: skip
def test_the_loss_is_that_of_each_batch(told, name):
    """Keras' logs tell the mean of the epoch so far; the batch's own loss is what is shown."""
    losses = told.values(name, "loss")
    sizes = [8] * 25 if name == "column_of_classes" else [32] * 6 + [8]
    if name == "custom_train_step":
        sizes = [1] * 7  # that of the guide weighs every batch alike
    means, total, count = [], 0.0, 0
    for loss, size in zip(losses, sizes, strict=True):
        total, count = total + loss * size, count + size
        means.append(total / count)
    assert means == pytest.approx(told.fact(name)["means"], rel=2e-3)


def test_keras_sees_nothing_of_ours(told):
    """Logs and history have Keras' own names alone, and the model is left as it was."""
    fact = told.fact("mnist_convnet")
    assert fact["keys"] == ["accuracy", "loss"]
    assert set(fact["history"]) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert fact["left"] == []


def test_an_epoch_is_as_keras_tells_it(told):
    """Losses and accuracies of training and validation are those of the history."""
    history = told.fact("mnist_convnet")["history"]
    for number, epoch in enumerate(told.snapshot("mnist_convnet").epochs):
        assert epoch.average_loss == pytest.approx(history["loss"][number])
        assert epoch.average_accuracy == pytest.approx(history["accuracy"][number])
        assert epoch.validation_loss == pytest.approx(history["val_loss"][number])
        assert epoch.validation_accuracy == pytest.approx(history["val_accuracy"][number])


def test_classes_have_their_names(told):
    """A prediction and its truth are named as the callback was told."""
    batch = told.batch("mnist_convnet")
    assert {each.true_label for each in batch.ground_truth} <= {f"digit {n}" for n in range(10)}
    assert all(each.predicted_label.startswith("digit") for each in batch.predictions)
    assert batch.batch_size == 32


@pytest.mark.parametrize("name", ["image_folders", "image_folders_mapped"])
def test_classes_are_named_as_their_folders(told, name):
    """Also where the dataset that knows them was mapped and fetched ahead."""
    batch = told.batch(name)
    assert {each.true_label for each in batch.ground_truth} == {"cat", "dog"}
    assert {each.predicted_label for each in batch.predictions} <= {"cat", "dog"}


def test_normalisation_is_undone(told):
    """Pixels are as light as they were before."""
    image = Image.open(io.BytesIO(told.batch("normalised").images[0].image_bytes))
    assert np.asarray(image.convert("L"), float).mean() == pytest.approx(0.8 * 255, abs=2)


def test_what_was_chosen_is_said_with_the_line_that_overrides_it(told):
    """Which part of a nested batch is the picture, the truth, the prediction."""
    notes = told.notes("several_inputs")
    assert "images: x['picture'] (B, 8, 8, 1)" in notes
    assert "y['digit']" in notes
    assert "y_pred['digit'] (B, 10)" in notes
    assert "TrainmonCallback(" in notes


def test_what_cannot_be_known_is_said(told):
    """No pictures, or words without a vocabulary: people are told once."""
    assert told.notes("table").count("no pictures were found") == 1
    assert told.notes("unknown_words").count("vocabulary=") == 1


def test_tokens_are_words(told):
    """Token ids are shown as the words of the vocabulary."""
    texts = [text.text for text in told.batch("words").texts]
    assert set(" ".join(texts).split()) <= {"a", "very", "good", "film"}


def test_sentences_are_text(told):
    """Strings that the model itself splits are shown as they are."""
    told.fact("sentences")
    if told.backend != "tensorflow":
        return  # no other backend has strings
    texts = {text.text for text in told.batch("sentences").texts}
    assert texts <= {"a very good film", "not good at all"}
    assert texts


def test_a_gan_is_shown(told):
    """Pictures, both losses, and the rate of the first of two optimizers; there is no truth."""
    told.fact("gan")
    if told.backend == "jax":
        return  # its step has but one optimizer
    assert told.summary("gan").global_step == 9
    assert told.batch("gan").images
    assert not told.batch("gan").ground_truth
    assert len(told.values("gan", "discriminator_loss")) == 10
    assert not [note for note in told.notes("gan").splitlines() if "cannot be shown" in note]


def test_colours_that_come_first_are_colours(told):
    """A picture of (3, 8, 8) has three channels, and is as high as wide."""
    batch = told.batch("channels_first")
    assert batch.images[0].width == batch.images[0].height
    assert batch.images[0].channels == 3


def test_large_pictures_are_strided(told):
    """A picture larger than a tile is returned smaller, its shape kept."""
    image = told.batch("large_pictures").images[0]
    assert image.width / image.height == pytest.approx(1.5, rel=0.05)


def test_true_boxes_are_shown(told):
    """Boxes of a dict are shown where they are, with their classes; what fills up is not."""
    for truth in told.batch("detection").ground_truth:
        found = {box.label: (box.x_min, box.y_min, box.x_max, box.y_max) for box in truth.boxes}
        assert found == {
            "dog": pytest.approx((0.25, 0.5, 0.75, 0.75), abs=0.02),
            "cat": pytest.approx((0.0, 0.0, 1.0, 0.5), abs=0.02),
        }
    assert "y['boxes'] as rel_xywh" in told.notes("detection")


def test_a_step_is_traced_once_for_many_fits(told):
    """What was compiled for one fit serves the next."""
    counts = told.fact("many_fits")["counts"]
    if told.backend == "torch":
        return  # runs eagerly: each step calls the model
    assert counts == [counts[0]] * 3


def test_one_step_of_an_execution_is_seen(told):
    """With four steps an execution all are counted, one is seen, and that is said."""
    if told.backend == "torch":
        return  # Keras has no such thing there
    assert told.fact("several_steps_at_once")["executions"] == 6
    assert "one step in 4" in told.notes("several_steps_at_once")
    assert len(told.values("several_steps_at_once", "loss")) == 6


def test_a_resumed_run_goes_on(told):
    """From its fourth epoch on: steps and epochs continue."""
    epochs = [epoch.epoch for epoch in told.snapshot("resumed").epochs]
    assert epochs == [3, 4]
    steps = told.seen.metrics(told.summary("resumed").session_id, "loss")["loss"].steps
    assert list(steps) == list(range(12, 20))


def test_a_restored_run_goes_on(told):
    """After BackupAndRestore steps and epochs continue where the one before broke off."""
    assert [epoch.epoch for epoch in told.snapshot("restored").epochs] == [2, 3]
    steps = told.seen.metrics(told.summary("restored").session_id, "loss")["loss"].steps
    assert list(steps) == list(range(8, 16))


@pytest.mark.parametrize(
    ("name", "error"), [("failing_callback", "ValueError"), ("interrupted", "KeyboardInterrupt")]
)
def test_a_fit_after_one_that_failed_is_shown(told, name, error):
    """The error reaches the script, and the next fit of the model goes on where it broke off."""
    fact = told.fact(name)
    assert fact == {"caught": error, "batches": 10}
