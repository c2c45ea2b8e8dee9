"""Outputs and targets, compared with straightforward formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainmon.relay.predictions import Labels, describe
from trainmon.relay.sample_losses import gathered_losses, sample_losses
from trainmon.relay.tasks import Habits, Task, task_of

RNG = np.random.default_rng(7)
NAMES = [f"class {index}" for index in range(10)]


def softmax(row: np.ndarray) -> list[float]:
    """Return it as a textbook has it, in exact sums."""
    powers = [math.exp(value - max(row)) for value in row.astype(float)]
    return [power / math.fsum(powers) for power in powers]


def sigmoid(value: float) -> float:
    """Return it as a textbook has it."""
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_logits_become_the_five_most_probable_classes(dtype, scale):
    """By softmax, the best first, with their names."""
    outputs = (RNG.normal(size=(16, 10)) * scale).astype(dtype)
    samples = describe(outputs, None, Labels(NAMES))
    for row, prediction in zip(outputs, samples.predictions, strict=True):
        expected = sorted(enumerate(softmax(row)), key=lambda pair: (-pair[1], pair[0]))[:5]
        found = [(each.class_index, each.score) for each in prediction.top_k_scores]
        assert [index for index, _ in found] == [index for index, _ in expected]
        assert [score for _, score in found] == pytest.approx(
            [score for _, score in expected], abs=1e-6
        )
        best = expected[0][0]
        assert prediction.predicted_class == best
        assert prediction.predicted_label == NAMES[best]
        assert prediction.confidence == pytest.approx(expected[0][1], abs=1e-6)


def test_probabilities_are_taken_as_they_are():
    """Rows without negative numbers that sum to 1 go through no second softmax."""
    outputs = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]], np.float32)
    samples = describe(outputs, None, Labels())
    assert samples.predictions[0].confidence == pytest.approx(0.7)
    assert samples.predictions[1].confidence == 1
    assert len(samples.predictions[0].top_k_scores) == 3


def test_logits_too_great_for_a_power_are_no_trouble():
    """The softmax is stable."""
    [prediction] = describe(np.array([[1e30, 0.0]]), None, Labels()).predictions
    assert (prediction.predicted_class, prediction.confidence) == (0, 1)


def test_a_row_with_nan_predicts_nothing_and_spoils_no_other():
    """Its class is -1; the other rows are as ever, probabilities included."""
    outputs = np.array([[np.nan, 1.0], [0.25, 0.75]])
    first, second = describe(outputs, None, Labels()).predictions
    assert (first.predicted_class, len(first.top_k_scores)) == (-1, 0)
    assert (second.predicted_class, second.confidence) == (1, 0.75)


@pytest.mark.parametrize(
    "targets",
    [
        np.array([2, 0]),
        np.array([[2], [0]]),
        np.array([2.0, 0.0], np.float32),
        np.array([[0, 0, 1], [1, 0, 0]]),
        np.array([[0.0, 0.1, 0.9], [0.8, 0.1, 0.1]]),
        np.array([2, 0], np.uint8),
    ],
    ids=["indices", "column", "real", "one-hot", "smoothed", "bytes"],
)
def test_the_true_class_is_found_in_every_form(targets):
    """Indices of any type and shape, one-hot rows and smoothed ones."""
    outputs = RNG.normal(size=(2, 3))
    assert task_of(outputs, targets) is Task.CLASSES
    samples = describe(outputs, targets, Labels(NAMES))
    assert [each.true_class for each in samples.ground_truth] == [2, 0]
    assert samples.ground_truth[0].true_label == "class 2"


def test_a_class_outside_the_names_has_no_name_and_is_remembered():
    """So that it can be told once; an index that stands for none is just none."""
    labels = Labels(["a", "b"])
    truths = describe(RNG.normal(size=(3, 5)), np.array([4, 1, -100]), labels).ground_truth
    assert [(each.true_class, each.true_label) for each in truths] == [(4, ""), (1, "b"), (-1, "")]
    assert labels.outside is not None


@pytest.mark.parametrize("targets", [np.array([1, 0]), np.array([True, False]), np.array([1.0, 0])])
@pytest.mark.parametrize("column", [True, False])
def test_one_output_and_truths_of_zero_and_one_are_two_classes(targets, column):
    """Logits go through the sigmoid; the confidence is that of the class predicted."""
    outputs = np.array([3.0, -2.0])
    samples = describe(
        outputs[:, None] if column else outputs, targets[:, None] if column else targets, Labels()
    )
    assert [each.predicted_class for each in samples.predictions] == [1, 0]
    assert [each.confidence for each in samples.predictions] == pytest.approx(
        [sigmoid(3), 1 - sigmoid(-2)]
    )
    assert [each.true_class for each in samples.ground_truth] == [1, 0]


def test_one_output_within_zero_and_one_is_a_probability():
    """It goes through no sigmoid."""
    [prediction] = describe(np.array([0.9]), np.array([1]), Labels()).predictions
    assert prediction.confidence == pytest.approx(0.9)


def test_several_true_classes_give_each_class_its_probability():
    """Rows of zeros and ones that are not one-hot: a sigmoid each, all true classes."""
    outputs = np.array([[2.0, -1.0, 0.5], [-2.0, -3.0, -1.0]])
    targets = np.array([[1, 0, 1], [0, 0, 0]])
    samples = describe(outputs, targets, Labels(NAMES))
    for row, prediction in zip(outputs, samples.predictions, strict=True):
        assert list(prediction.values) == pytest.approx([sigmoid(value) for value in row])
    assert [list(each.true_classes) for each in samples.ground_truth] == [[0, 2], []]
    assert samples.predictions[0].predicted_class == 0


@pytest.mark.parametrize("width", [None, 1, 4])
def test_real_targets_are_values_on_both_sides(width):
    """Regression, of one value or several, shows numbers and no class."""
    shape = (3,) if width is None else (3, width)
    outputs, targets = RNG.normal(size=shape), RNG.normal(size=shape)
    samples = describe(outputs, targets, Labels())
    for index in range(3):
        assert samples.predictions[index].predicted_class == -1
        assert list(samples.predictions[index].values) == np.ravel(outputs[index]).tolist()
        assert samples.ground_truth[index].true_class == -1
        assert list(samples.ground_truth[index].values) == np.ravel(targets[index]).tolist()


def test_targets_alone_and_outputs_alone_are_shown():
    """What is missing is missing on its side only."""
    assert describe(None, np.array([3, 1]), Labels(NAMES)).ground_truth[0].true_label == "class 3"
    assert describe(None, np.eye(3), Labels()).ground_truth[2].true_class == 2
    samples = describe(np.array([[0.0, 4.0]]), None, Labels())
    assert (samples.predictions[0].predicted_class, samples.ground_truth) == (1, [])


def test_outputs_of_another_rank_are_of_no_task():
    """A segmentation's map of logits is not taken for classes."""
    assert task_of(np.zeros((2, 5, 8, 8)), np.zeros((2, 8, 8), int)) is Task.UNKNOWN


# --- sample losses --------------------------------------------------------------------------------


def cross_entropy(row: np.ndarray, target: int) -> float:
    """Return it as a textbook has it."""
    return -math.log(softmax(row)[target])


def test_cross_entropies_are_told_when_their_mean_is_the_loss():
    """From logits, from log-probabilities and from probabilities."""
    outputs, targets = RNG.normal(size=(40, 6)), RNG.integers(0, 6, 40)
    expected = [cross_entropy(row, target) for row, target in zip(outputs, targets, strict=True)]
    loss = math.fsum(expected) / 40
    likely = np.array([softmax(row) for row in outputs])
    for given in (outputs, np.log(likely), likely):
        assert sample_losses(given, targets, loss) == pytest.approx(expected)
    assert sample_losses(outputs, np.eye(6)[targets], loss) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [1.01, 0.5, math.nan, math.inf])
def test_a_loss_that_is_computed_otherwise_gives_no_sample_losses(factor):
    """Weighted, smoothed, or of another kind: better none than wrong ones."""
    outputs, targets = RNG.normal(size=(8, 3)), RNG.integers(0, 3, 8)
    pairs = zip(outputs, targets, strict=True)
    loss = math.fsum(cross_entropy(row, target) for row, target in pairs) / 8
    assert sample_losses(outputs, targets, loss * factor) is None
    assert sample_losses(outputs, targets, None) is None


def test_binary_cross_entropies_are_found_as_well():
    """From logits and from probabilities, of one output or of several."""
    outputs, targets = RNG.normal(size=(9, 4)) * 3, RNG.integers(0, 2, (9, 4))
    targets[0] = [1, 1, 0, 0]  # else the rows might be one-hot
    terms = [
        [-math.log(sigmoid(x) if t else 1 - sigmoid(x)) for x, t in zip(row, truth, strict=True)]
        for row, truth in zip(outputs, targets, strict=True)
    ]
    expected = [math.fsum(row) / 4 for row in terms]
    loss = math.fsum(expected) / 9
    likely = 1 / (1 + np.exp(-outputs))
    assert sample_losses(outputs, targets, loss) == pytest.approx(expected)
    assert sample_losses(likely, targets, loss) == pytest.approx(expected)
    column = [row[0] for row in terms]
    found = sample_losses(outputs[:, 0], targets[:, 0], math.fsum(column) / 9)
    assert found == pytest.approx(column)


def test_ignored_targets_have_no_loss_and_do_not_count():
    """An index below 0 takes no part in the mean; one beyond the classes fits no loss at all."""
    outputs, targets = RNG.normal(size=(3, 4)), np.array([0, -100, 3])
    expected = [cross_entropy(outputs[0], 0), math.nan, cross_entropy(outputs[2], 3)]
    loss = (expected[0] + expected[2]) / 2
    assert sample_losses(outputs, targets, loss) == pytest.approx(expected, nan_ok=True)
    assert sample_losses(outputs, np.array([0, 4, 3]), loss) is None


@pytest.mark.parametrize("smoothing", [0.1, 0.2])
@pytest.mark.parametrize("one_hot", [True, False])
def test_the_usual_label_smoothings_are_recognised(smoothing, one_hot):
    """By the loss of the batch, which no other reading of the outputs gives."""
    outputs, targets = RNG.normal(size=(12, 5)) * 2, RNG.integers(0, 5, 12)
    shares = np.eye(5)[targets] * (1 - smoothing) + smoothing / 5
    likely = np.log([softmax(row) for row in outputs])
    expected = -(shares * likely).sum(axis=1)
    given = np.eye(5)[targets] if one_hot else targets
    assert sample_losses(outputs, given, expected.mean()) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["squared", "absolute", "huber"])
@pytest.mark.parametrize("width", [None, 3])
def test_errors_of_values_are_told(kind, width):
    """Squared, absolute and Huber's, over one value or several."""
    shape = (10,) if width is None else (10, width)
    outputs, targets = RNG.normal(size=shape) * 2, RNG.normal(size=shape)
    error = np.abs(outputs - targets).reshape(10, -1)
    huber = np.where(error < 1, error**2 / 2, error - 0.5)
    expected = {"squared": error**2, "absolute": error, "huber": huber}[kind].mean(axis=1)
    assert sample_losses(outputs, targets, expected.mean()) == pytest.approx(expected)


def test_weights_of_classes_give_no_sample_losses():
    """They are not known here, and a mean with them is another."""
    outputs, targets = RNG.normal(size=(20, 3)), RNG.integers(0, 3, 20)
    each = np.array([cross_entropy(row, t) for row, t in zip(outputs, targets, strict=True)])
    weights = np.array([1.0, 4.0, 0.3])[targets]
    assert sample_losses(outputs, targets, (each * weights).sum() / weights.sum()) is None


def test_samples_of_small_batches_are_judged_batch_by_batch():
    """Each by its own batch's loss; of a batch that is not all there, none is told."""
    outputs, targets = RNG.normal(size=(10, 3)), RNG.integers(0, 3, 10)
    each = [cross_entropy(row, t) for row, t in zip(outputs, targets, strict=True)]
    steps = np.array([4.0] * 4 + [5.0] * 4 + [6.0] * 2)
    losses = [np.mean(each[:4]), np.mean(each[4:8]), 1.0]
    batches = np.array([[losses[int(step) - 4], 4] for step in steps])
    expected = [*each[:8], math.nan, math.nan]
    assert gathered_losses(outputs, targets, steps, batches) == pytest.approx(expected, nan_ok=True)
    assert gathered_losses(outputs[8:], targets[8:], None, batches[8:]) is None


# --- what earlier frames have shown ---------------------------------------------------------------


def test_a_run_of_several_labels_stays_one():
    """A frame whose samples happen to have one label each is read as those before."""
    habits = Habits()
    outputs = RNG.normal(size=(2, 3))
    first = describe(outputs, np.array([[1, 0, 1], [0, 1, 0]]), Labels(), habits)
    second = describe(outputs, np.array([[1, 0, 0], [0, 1, 0]]), Labels(), habits)
    assert [list(each.true_classes) for each in first.ground_truth] == [[0, 2], [1]]
    assert [list(each.true_classes) for each in second.ground_truth] == [[0], [1]]


def test_outputs_that_were_logits_once_are_logits():
    """Also where those of a small frame happen to lie within 0 to 1."""
    habits = Habits()
    describe(np.array([3.0, -2.0]), np.array([1, 0]), Labels(), habits)
    [prediction] = describe(np.array([0.9]), np.array([1]), Labels(), habits).predictions
    assert prediction.confidence == pytest.approx(sigmoid(0.9))


def test_values_that_happen_to_be_zero_and_one_stay_values():
    """A regression's frame of such targets is not taken for two classes."""
    habits = Habits()
    describe(np.array([0.2, 7.0]), np.array([1.0, 5.0]), Labels(), habits)
    [truth] = describe(np.array([0.4]), np.array([1.0]), Labels(), habits).ground_truth
    assert (truth.true_class, list(truth.values)) == (-1, [1.0])


def test_probabilities_of_half_precision_are_probabilities():
    """Their sums miss 1 by what sixteen bits are short of."""
    outputs = np.array([softmax(row) for row in RNG.normal(size=(8, 50))]).astype(np.float16)
    samples = describe(outputs, None, Labels())
    assert samples.predictions[0].confidence == pytest.approx(float(outputs[0].max()))
