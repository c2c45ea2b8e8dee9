"""Finding pictures, truth, boxes and texts in whatever a loader yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from trainmon.adapters import batches
from trainmon.adapters.batches import SampleFinder, Samples, find_samples, look_up, parts_of

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


def _paths(found: Samples) -> tuple[int, str | None, str | None]:
    return (
        found.count,
        None if found.images is None else found.images.path,
        None if found.targets is None else found.targets.path,
    )


LIKE = {
    "a list": lambda: [np.random.rand(4, 8, 8, 3).astype(np.float32), np.arange(4)],
    "a tuple, turned round": lambda: (np.arange(4), np.random.rand(4, 3, 8, 8).astype(np.float32)),
    "a dict": lambda: {"label": np.arange(4), "pixels": np.zeros((4, 8, 8, 3), np.uint8)},
    "without truth": lambda: (np.zeros((4, 8, 8, 3), np.uint8),),
    "without pictures": lambda: (np.zeros((4, 10), np.float32), np.arange(4)),
}


@pytest.mark.parametrize("like", LIKE)
def test_a_batch_like_one_before_is_not_searched(
    like: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found is the new one's, at the same places."""
    finder = SampleFinder()
    first = finder.find(LIKE[like]())
    batch = LIKE[like]()
    wanted = find_samples(batch)
    monkeypatch.setattr(batches, "find_samples", None)  # nobody asks
    found = finder.find(batch)
    assert _paths(found) == _paths(first) == _paths(wanted)
    for part, other in ((found.images, wanted.images), (found.targets, wanted.targets)):
        assert (None if part is None else id(part.value)) == (other and id(other.value))


UNLIKE = {
    "another shape": lambda images, labels: [images[:, :7], labels],
    "another type": lambda images, labels: [images, labels.astype(np.float32)],
    "another order": lambda images, labels: [labels, images],
    "another container": lambda images, labels: (images, labels),
    "more": lambda images, labels: [images, labels, np.arange(9)],
    "texts": lambda images, labels: [images, ["a", "b", "c", "d"]],
    "the pictures twice": lambda images, _: [images, images],
}


@pytest.mark.parametrize("unlike", UNLIKE)
def test_any_other_batch_is_searched(unlike: str) -> None:
    """And found as if no other had been."""
    finder = SampleFinder()
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.arange(4)
    finder.find([images, labels])
    finder.find([images.copy(), images.copy()])
    batch = UNLIKE[unlike](images, labels)
    assert _paths(finder.find(batch)) == _paths(find_samples(batch))


def test_where_a_function_tells_the_place_it_is_asked_each_time() -> None:
    """It may look at what is in the batch."""
    finder = SampleFinder(targets=lambda batch: batch[int(batch[1][0])])
    images = np.zeros((4, 8, 8, 3), np.uint8)
    for place in (1, 2):
        batch = [images.copy(), np.full(4, place), np.arange(4)]
        assert finder.find(batch).targets.value is batch[place]


def test_a_type_of_numbers_without_a_hash_is_searched_for() -> None:
    """It is a stranger's, and no reason to show nothing."""

    class Strange(np.ndarray):
        @property
        def dtype(self) -> list[str]:  # type: ignore[override]
            return ["float", "32"]

    finder = SampleFinder()
    batch = [np.zeros((4, 8, 8, 3)), np.zeros((4, 2)).view(Strange)]
    for _ in range(2):
        assert _paths(finder.find(batch)) == _paths(find_samples(batch))


def test_few_kinds_of_batches_are_remembered() -> None:
    """Sentences of ever other lengths hold no memory."""
    finder = SampleFinder()
    for length in range(8, 60):
        finder.find([np.zeros((4, length, 8, 3), np.uint8), np.arange(4)])
    assert len(finder._known) <= 16
