"""Boxes are where Keras' own utility says they are, whatever their format."""

from __future__ import annotations

import numpy as np
import pytest

from trainmon_keras.choose import Leaf

HEIGHT, WIDTH = 40, 80
LABELS = np.array([[0, 3, -1]])


def _boxes(corners):
    from trainmon_keras.boxes import Boxes

    return Boxes(Leaf("y['boxes']", corners), Leaf("y['labels']", LABELS))


@pytest.fixture(scope="module")
def keras():
    """Keras on whatever backend there is, new enough to have the utility."""
    found = pytest.importorskip("keras")
    if not hasattr(found.utils, "bounding_boxes"):
        pytest.skip("no keras found: from 3.8 on it has utilities for boxes")
    return found


@pytest.mark.parametrize(
    "told", ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx",
             "rel_xywh", "rel_center_xywh"]
)  # fmt: skip
def test_a_box_is_where_keras_says(keras, told):
    """Each format becomes left, top, right and bottom in pixels; what fills up has no extent."""
    from trainmon_keras.boxes import FORMATS, corners

    assert told in FORMATS
    xyxy = np.array([[[8.0, 4.0, 40.0, 20.0], [0.0, 0.0, 80.0, 40.0], [1.0, 1.0, 2.0, 2.0]]])
    given = keras.utils.bounding_boxes.convert_format(
        {"boxes": xyxy.astype("float32"), "labels": LABELS},
        source="xyxy", target=told, height=HEIGHT, width=WIDTH,
    )["boxes"]  # fmt: skip
    found = corners(_boxes(keras.ops.convert_to_tensor(given)), told, HEIGHT, WIDTH)
    expected = xyxy.copy()
    expected[0, 2] = 0
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-4)


@pytest.mark.parametrize(("told", "height"), [("xyz", HEIGHT), ("rel_xyxy", None)])
def test_what_cannot_be_placed_is_refused(keras, told, height):
    """A format that is none, or parts of a size that is not known, are refused with the reason."""
    from trainmon_keras.boxes import corners

    with pytest.raises(ValueError, match="boxes"):
        corners(_boxes(keras.ops.ones((1, 3, 4))), told, height, WIDTH)


def test_boxes_are_found_wherever_they_are():
    """In a mapping, in one within another, or not at all."""
    pytest.importorskip("keras")
    from trainmon_keras.boxes import find_boxes

    boxes, classes = np.zeros((2, 5, 4)), np.zeros((2, 5))
    nested = ({"a": np.zeros(2)}, {"head": {"boxes": boxes, "classes": classes}})
    found = find_boxes(nested)
    assert found is not None
    assert found.boxes.value is boxes
    assert found.labels is not None
    assert found.labels.value is classes
    assert find_boxes({"boxes": np.zeros((2, 4))}) is None
    assert find_boxes(boxes) is None
