"""Finding pictures, truth and texts in whatever a framework's loader yields.

A batch may be a tuple, a mapping, a dataclass, and any nest of them. Nothing is copied, changed or
kept: what is returned are the batch's own arrays, with the way to each, for people to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from math import prod
from numbers import Real
from typing import Any

from trainmon.capture.arrays import length

__all__ = [
    "Part",
    "SampleFinder",
    "Samples",
    "Where",
    "find_samples",
    "is_array",
    "is_whole",
    "look_up",
    "parts_of",
    "same_size",
]

Where = int | str | Callable[[Any], Any]
"""Where something is in a batch: an index, a key, a path such as ``"0.pixel_values"``, or a
function of the batch."""

_CHANNELS = (1, 3, 4)
#: A batch is searched no deeper and no wider than this.
_MOST_DEPTH, _MOST_PARTS = 5, 64
_IMAGE_NAMES = ("image", "img", "pixel", "picture", "x", "input")
_TRUTH_NAMES = ("label", "target", "truth", "mask", "segmentation", "class", "y", "gt", "answer")
_OTHER_NAMES = ("attention", "path", "file", "index", "idx", "id", "weight", "length", "meta")
#: Kinds of batches remembered at most.
_MOST_KINDS = 16
#: The least edge, in pixels, at which an array without channels passes for grey pictures.
_LEAST_GREY = 6


@dataclass(frozen=True)
class Part:
    """One part of a batch: an array, a sequence of them, boxes or texts."""

    path: str
    """The way to it, such as ``batch[0]['image']``."""
    value: Any


@dataclass(frozen=True)
class Samples:
    """What was found in a batch. All parts hold ``count`` samples."""

    count: int = 0
    images: Part | None = None
    """(B, H, W), (B, H, W, C) or (B, C, H, W); or a sequence of B pictures of any sizes."""
    targets: Part | None = None
    """Indices, one-hot, multi-hot or values; or masks of the pictures' size."""
    boxes: Part | None = None
    """B mappings with ``boxes`` and ``labels``."""
    texts: Part | None = None
    """B strings."""


def is_array(value: Any) -> bool:
    """Return whether this is an array of numbers of any framework."""
    return hasattr(value, "dtype") and _shape(value) is not None


def is_whole(value: Any) -> bool:
    """Return whether an array holds whole numbers or truth values."""
    return _dtype(value).startswith(("int", "uint", "bool", "long", "short"))


def same_size(one: Any, other: Any) -> bool:
    """Return whether two arrays have as many elements."""
    first, second = _shape(one), _shape(other)
    return first is not None and second is not None and prod(first) == prod(second)


def look_up(batch: Any, where: Where) -> Any:
    """Return what is at a place of a batch.

    Raises:
        LookupError: There is nothing of that name; the text says what there is.
    """
    if callable(where):
        return where(batch)
    found = batch
    steps: list[Any] = [where] if isinstance(where, int) else _steps(batch, where)
    for step in steps:
        found = _step_into(found, step, where)
    return found


def find_samples(
    batch: Any, *, images: Where | None = None, targets: Where | None = None
) -> Samples:
    """Find pictures, truth, boxes and texts in a batch.

    Args:
        batch: What the loader yields.
        images: Where the pictures are; unset: the first array that looks like some.
        targets: Where the truth is; unset: the likeliest array of as many samples.

    Raises:
        LookupError: ``images`` or ``targets`` name something that is not there.
    """
    parts = parts_of(batch)
    boxes = next((part for part in parts if _are_boxes(part.value)), None)
    pictures = _told(batch, images) or _images_in(parts, boxes)
    texts = next((part for part in parts if _are_texts(part)), None) if not pictures else None
    shown = pictures or texts
    count = (length(shown.value) if shown else None) or 0
    if boxes is not None and length(boxes.value) != count:
        boxes = None
    if not count:
        return Samples()
    truth = _told(batch, targets)
    if truth is None and boxes is None:
        truth = _truth_in(parts, shown, count)
    return Samples(count, pictures, truth, boxes, texts)


class SampleFinder:
    """Finds the samples of a training's batches; of such as it has seen before without a search.

    A batch is such as another where it is a list, a tuple or a dict of arrays of the same shapes
    and types: where what is in them tells nothing, and a search passes through eighty functions.

    Args:
        images: Where the pictures are; see :func:`find_samples`.
        targets: Where the truth is.
    """

    def __init__(self, images: Where | None = None, targets: Where | None = None) -> None:
        self._images, self._targets = images, targets
        self._known: dict[tuple[Any, ...], tuple[int, _Place | None, _Place | None]] = {}

    def find(self, batch: Any) -> Samples:
        """Find pictures, truth, boxes and texts in a batch; see :func:`find_samples`.

        Raises:
            LookupError: What was told to be somewhere is not there.
        """
        kind = _kind_of(batch)
        try:
            known = self._known.get(kind) if kind else None
        except TypeError:  # a stranger's type of numbers, which has no hash
            kind, known = (), None
        if known is not None:
            count, images, targets = known
            return Samples(count, _part_at(batch, images), _part_at(batch, targets))
        found = find_samples(batch, images=self._images, targets=self._targets)
        if kind and not (callable(self._images) or callable(self._targets)):
            self._learn(kind, batch, found)
        return found

    def _learn(self, kind: tuple[Any, ...], batch: Any, found: Samples) -> None:
        if found.boxes is not None or found.texts is not None:
            return
        keys = list(batch) if isinstance(batch, dict) else range(len(batch))
        places = []
        for part in (found.images, found.targets):
            at = None if part is None else next((k for k in keys if batch[k] is part.value), None)
            if part is not None and at is None:
                return  # deeper, or made of several
            places.append(None if part is None else _Place(part.path, at))
        if len(self._known) >= _MOST_KINDS:
            self._known.clear()
        self._known[kind] = (found.count, places[0], places[1])


@dataclass(frozen=True)
class _Place:
    path: str
    key: Any


def _part_at(batch: Any, place: _Place | None) -> Part | None:
    return None if place is None else Part(place.path, batch[place.key])


def _kind_of(batch: Any) -> tuple[Any, ...]:
    """Return what tells a batch from those of another kind; empty where its contents might."""
    if type(batch) is dict:
        names, values = tuple(batch), list(batch.values())
    elif type(batch) in (list, tuple):
        names, values = (), batch
    else:
        return ()
    # That one array stands at two places tells, too: it is no truth of itself.
    if not 0 < len(values) <= _MOST_PARTS or len({*map(id, values)}) < len(values):
        return ()
    kind: list[Any] = [type(batch), names]
    for value in values:
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if dtype is None or not isinstance(shape, tuple):
            return ()
        kind += (type(value), shape, dtype)
    return tuple(kind)


def parts_of(batch: Any, path: str = "batch") -> list[Part]:
    """Return the arrays, boxes and texts of a batch in their order; at most 64."""
    found: list[Part] = []
    for part in _walk(batch, path, 0):
        found.append(part)
        if len(found) >= _MOST_PARTS:
            break
    return found


def _shape(value: Any) -> tuple[int, ...] | None:
    shape = getattr(value, "shape", None)
    try:
        return None if shape is None or callable(shape) else tuple(map(int, shape))
    except (TypeError, ValueError):  # of unknown size, as in a graph that is being traced
        return None


def _dtype(value: Any) -> str:
    """Return the name of an array's type, as NumPy spells it."""
    return str(getattr(value, "dtype", "")).rpartition(".")[2]


def _walk(value: Any, path: str, depth: int) -> Iterator[Part]:
    if is_array(value) or _are_boxes(value) or _is_row(value) or _are_pictures(value):
        yield Part(path, value)
    elif depth < _MOST_DEPTH:
        for name, child in _children(value):
            yield from _walk(child, path + name, depth + 1)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield f"[{key!r}]", child
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name, child in zip(value._fields, value, strict=True):
            yield f".{name}", child
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value[:_MOST_PARTS]):
            yield f"[{index}]", child
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield f".{field.name}", getattr(value, field.name)


def _is_row(value: Any) -> bool:
    """Return whether this is a sequence of numbers or of strings."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    kind = str if isinstance(value[0], str) else Real
    return all(isinstance(each, kind) for each in value)


def _are_boxes(value: Any) -> bool:
    """Return whether these are boxes as torchvision has them, a mapping a sample."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(each, Mapping) and "boxes" in each for each in value)


def _are_pictures(value: Any) -> bool:
    """Return whether this is a sequence of pictures whose sizes differ."""
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        return False
    shapes = [_shape(each) if is_array(each) else None for each in value]
    known = [shape for shape in shapes if shape is not None and len(shape) == 3]
    if len(known) != len(shapes):
        return False
    return len(set(known)) > 1 and all(
        shape[0] in _CHANNELS and min(shape[1:]) >= _LEAST_GREY for shape in known
    )


def _are_texts(part: Part) -> bool:
    value = part.value
    named_otherwise = _named(part, _OTHER_NAMES)
    return _is_row(value) and isinstance(value[0], str) and not named_otherwise


def _named(part: Part, names: tuple[str, ...]) -> bool:
    """Return whether the last step to a part is, or holds as a word, one of some names."""
    return _leads_to(part.path, names)


@lru_cache(maxsize=1024)  # a loader's batches have the same parts, looked at while training waits
def _leads_to(path: str, names: tuple[str, ...]) -> bool:
    last = path.replace("]", "").replace("'", "").replace("[", ".").rpartition(".")[2].lower()
    words = last.replace("-", "_").split("_")
    return any(word in (name, f"{name}s", f"{name}es") for word in words for name in names) or any(
        len(name) > 3 and name in last for name in names
    )


def _told(batch: Any, where: Where | None) -> Part | None:
    if where is None:
        return None
    name = getattr(where, "__name__", "a function") if callable(where) else repr(where)
    return Part(f"{name} (as told)", look_up(batch, where))


def _images_in(parts: Sequence[Part], boxes: Part | None) -> Part | None:
    candidates = [part for part in parts if _looks_like_images(part)]
    candidates = [part for part in candidates if not _named(part, _TRUTH_NAMES)] or candidates
    named = (part for part in candidates if _named(part, _IMAGE_NAMES))
    found = next(named, next(iter(candidates), None))
    return found or _listed_images(parts, boxes)


def _listed_images(parts: Sequence[Part], boxes: Part | None) -> Part | None:
    """Return pictures that come one by one, as for detection; their list was walked into."""
    if boxes is None:
        return None
    count = len(boxes.value)
    single = [part for part in parts if _is_single_picture(part.value)]
    if len(single) != count:
        return None
    return Part(single[0].path.rpartition("[")[0], [part.value for part in single])


def _is_single_picture(value: Any) -> bool:
    shape = _shape(value) if is_array(value) else None
    return (
        shape is not None and len(shape) == 3 and (shape[0] in _CHANNELS or shape[2] in _CHANNELS)
    )


def _looks_like_images(part: Part) -> bool:
    value = part.value
    if _are_pictures(value):
        return True
    shape = _shape(value) if is_array(value) else None
    if shape is None or 0 in shape or _dtype(value) not in _PIXELS:
        return False
    if len(shape) == 4:
        return (shape[1] in _CHANNELS and min(shape[2:]) > 1) or (
            shape[3] in _CHANNELS and min(shape[1:3]) > 1
        )
    if len(shape) == 3:
        # Sequences of features have three axes, too.
        likely = _dtype(value) == "uint8" or shape[1] == shape[2] or _named(part, _IMAGE_NAMES[:4])
        return likely and min(shape[1:]) >= _LEAST_GREY
    return False


_PIXELS = ("uint8", "float16", "bfloat16", "float32", "float64", "half", "double", "float")


def _truth_in(parts: Sequence[Part], shown: Part | None, count: int) -> Part | None:
    picture = shown.value if shown is not None else None
    candidates = [
        part
        for part in parts
        if part.value is not picture
        and length(part.value) == count
        and not _are_texts(part)
        and not _named(part, _OTHER_NAMES)
        and _looks_like_truth(part.value, picture)
    ]
    return next((part for part in candidates if _named(part, _TRUTH_NAMES)), None) or next(
        iter(candidates), None
    )


def _looks_like_truth(value: Any, picture: Any) -> bool:
    if not is_array(value):
        return _is_row(value)
    shape, pixels = _shape(value) or (), _shape(picture) if is_array(picture) else None
    if len(shape) in (1, 2):
        return True
    if pixels is None or len(pixels) < 3:
        return False
    edges = set(pixels[1:])
    if len(shape) == 3:  # a class index for each pixel
        return set(shape[1:]) <= edges
    return len(shape) == 4 and 1 in (shape[1], shape[3]) and set(shape[1:]) - {1} <= edges


def _steps(batch: Any, where: str) -> list[Any]:
    if isinstance(batch, Mapping) and where in batch:
        return [where]
    return [int(step) if step.isdigit() else step for step in where.split(".")]


def _step_into(value: Any, step: Any, where: Where) -> Any:
    try:
        if isinstance(value, Mapping):
            return value[step] if step in value else value[str(step)]
        return value[step] if isinstance(step, int) else getattr(value, step)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        there = ", ".join(part.path for part in parts_of(value)[:8]) or "nothing of that kind"
        raise LookupError(
            f"{where!r} names nothing in this {type(value).__name__}; there is: {there}"
        ) from error
