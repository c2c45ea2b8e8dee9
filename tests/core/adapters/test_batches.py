"""Finding pictures, truth, boxes and texts in whatever a loader yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from trainmon.adapters.batches import find_samples, look_up, parts_of

PICTURES = np.zeros((4, 3, 8, 8), np.float32)
GREY = np.zeros((4, 8, 8), np.float32)
LABELS = np.arange(4)
ONE_HOT = np.eye(4, dtype=np.float32)
MASKS = np.zeros((4, 8, 8), np.int64)
BOXES = [{"boxes": np.zeros((2, 4)), "labels": np.zeros(2, np.int64)} for _ in range(4)]


class Pair(NamedTuple):
    """A batch as a tuple with names."""

    pixels: Any
    label: Any


@dataclass
class Batch:
    """A batch as a dataclass."""

    image: Any
    target: Any


@pytest.mark.parametrize(
    ("batch", "images", "truth"),
    [
        ((PICTURES, LABELS), "batch[0]", "batch[1]"),
        ([PICTURES, ONE_HOT], "batch[0]", "batch[1]"),
        ((GREY, [0, 1, 2, 3]), "batch[0]", "batch[1]"),
        ((PICTURES, MASKS), "batch[0]", "batch[1]"),
        ({"id": LABELS, "image": PICTURES, "label": ONE_HOT}, "batch['image']", "batch['label']"),
        ({"x": {"img": GREY}, "y": LABELS}, "batch['x']['img']", "batch['y']"),
        (Pair(PICTURES, LABELS), "batch.pixels", "batch.label"),
        (Batch(PICTURES, LABELS), "batch.image", "batch.target"),
    ],
    ids=str,
)
def test_pictures_and_truth_are_found(batch: Any, images: str, truth: str) -> None:
    """Pictures are told by their shape and name, the truth by its length and name."""
    found = find_samples(batch)
    assert found.images is not None
    assert found.targets is not None
    assert (found.count, found.images.path, found.targets.path) == (4, images, truth)


def test_boxes_are_found_with_pictures_of_any_size() -> None:
    """A list of pictures and one of mappings with boxes is a batch of detection."""
    pictures = [np.zeros((3, 8 + row, 9), np.uint8) for row in range(4)]
    found = find_samples((pictures, BOXES))
    assert found.count == 4
    assert found.images is not None
    assert found.images.path == "batch[0]"
    assert found.boxes is not None
    assert found.boxes.value is BOXES
    assert found.targets is None


def test_texts_are_found_where_there_are_no_pictures() -> None:
    """Strings are shown as text, with the labels as truth."""
    found = find_samples({"text": ["a", "b", "c", "d"], "label": LABELS})
    assert found.texts is not None
    assert found.targets is not None
    assert (found.images, found.texts.path, found.targets.path) == (
        None,
        "batch['text']",
        "batch['label']",
    )


def test_rows_of_features_are_no_pictures() -> None:
    """A table shows no samples."""
    assert find_samples((np.zeros((4, 10), np.float32), LABELS)).count == 0


def test_what_the_user_names_is_taken() -> None:
    """A key, a path or a function names a part, whatever it looks like."""
    batch = {"a": {"b": PICTURES}, "c": LABELS, "d": LABELS + 1}
    found = find_samples(batch, images="a.b", targets=lambda given: given["d"])
    assert found.images is not None
    assert found.targets is not None
    assert found.images.value is PICTURES
    assert found.targets.value.tolist() == [1, 2, 3, 4]


def test_a_name_that_is_not_there_says_what_is() -> None:
    """The error lists the parts of the batch."""
    with pytest.raises(LookupError, match=r"'nowhere' names nothing .* batch\['c'\]"):
        look_up({"c": LABELS}, "nowhere")


def test_a_batch_without_end_is_not_searched_for_ever() -> None:
    """A nest that holds itself and a list of thousands end the search."""
    nest: list[Any] = []
    nest.append(nest)
    assert parts_of(nest) == []
    assert len(parts_of([PICTURES] * 5000)) == 64
