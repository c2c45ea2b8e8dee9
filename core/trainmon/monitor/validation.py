"""What a message may hold. Bad parts are dropped with a reason each, the rest is kept.

Messages are changed in place: what is left is what is stored and shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trainmon.monitor.pictures import PictureChecker
from trainmon.v1.telemetry_pb2 import BatchData, GroundTruth, MetricData, MetricSeries, Prediction

__all__ = ["MAX_NAME", "MAX_SAMPLES", "check_batch", "check_metrics"]

#: Samples in one BatchData.
MAX_SAMPLES = 16
#: Classes told of one sample. Five are asked for; who sends ten loses nothing.
MAX_SCORES = 32
#: Series in one MetricData.
MAX_SERIES = 10_000
#: Characters of a series' name.
MAX_NAME = 256
#: Whole numbers that a double holds exactly.
_MAX_STEP = float(1 << 53)

_SAMPLE_FIELDS = (
    "images",
    "texts",
    "predictions",
    "ground_truth",
    "sample_losses",
    "sample_steps",
)


def check_batch(batch: BatchData, class_names: int, pictures: PictureChecker) -> list[str]:
    """Drop what is bad of a batch.

    Args:
        batch: Changed in place.
        class_names: How many classes have names; 0: unknown.
        pictures: The producer's checker.

    Returns:
        One complaint for each kind of bad part; empty where all is well.
    """
    complaints = _drop_surplus(batch)
    complaints += _drop_unaligned(batch)
    complaints += _drop_bad_pictures(batch, pictures)
    if not _has_plain_samples(batch, class_names):
        complaints += _drop_surplus_scores(batch)
        complaints += _drop_bad_masks(batch, pictures)
        complaints += _drop_bad_classes(batch, class_names)
    return complaints


def _drop_surplus(batch: BatchData) -> list[str]:
    complaints = []
    for name in _SAMPLE_FIELDS:
        values = getattr(batch, name)
        if len(values) > MAX_SAMPLES:
            complaints.append(
                f"batch_data.{name} has {len(values)} samples, the limit is {MAX_SAMPLES}: "
                f"the first {MAX_SAMPLES} were kept"
            )
            del values[MAX_SAMPLES:]
    return complaints


def _drop_surplus_scores(batch: BatchData) -> list[str]:
    longest = max((len(each.top_k_scores) for each in batch.predictions), default=0)
    if longest <= MAX_SCORES:
        return []
    for prediction in batch.predictions:
        del prediction.top_k_scores[MAX_SCORES:]
    return [
        f"a prediction has {longest} top_k_scores, the limit is {MAX_SCORES}: the first were kept"
    ]


def _drop_unaligned(batch: BatchData) -> list[str]:
    lengths = {name: len(getattr(batch, name)) for name in _SAMPLE_FIELDS}
    samples = lengths["images"] or lengths["texts"] or max(lengths.values())
    complaints = []
    for name, length in lengths.items():
        if length not in {0, samples}:
            complaints.append(
                f"batch_data.{name} has {length} entries for {samples} samples: it was dropped; "
                "the arrays of a batch must be equally long or empty"
            )
            batch.ClearField(name)
    return complaints


def _drop_bad_pictures(batch: BatchData, pictures: PictureChecker) -> list[str]:
    bad: list[tuple[int, str]] = []
    for index, image in enumerate(batch.images):
        complaint = pictures.complaint(image)
        if complaint:
            bad.append((index, complaint))
    if not bad:
        return []
    for index, _ in reversed(bad):
        _drop_sample(batch, index)
    index, complaint = bad[0]
    return [f"batch_data.images[{index}]{_more(len(bad))} was dropped with its sample: {complaint}"]


def _drop_bad_masks(batch: BatchData, pictures: PictureChecker) -> list[str]:
    complaints = []
    samples: list[Prediction | GroundTruth] = [*batch.predictions, *batch.ground_truth]
    for sample in samples:
        complaint = pictures.complaint(sample.mask) if sample.HasField("mask") else ""
        if complaint:
            complaints.append(f"a sample's mask was dropped: {complaint}")
            sample.ClearField("mask")
    return complaints[:1]


def _drop_sample(batch: BatchData, index: int) -> None:
    for name in _SAMPLE_FIELDS:
        values = getattr(batch, name)
        if index < len(values):
            del values[index]


def _drop_bad_classes(batch: BatchData, class_names: int) -> list[str]:
    complaints = []
    for prediction in batch.predictions:
        if not _is_class(prediction.predicted_class, class_names):
            complaints.append(_class_complaint("predicted_class", prediction.predicted_class))
            prediction.predicted_label = prediction.predicted_label or _label(
                prediction.predicted_class
            )
            prediction.predicted_class = -1
        for index in reversed(range(len(prediction.top_k_scores))):
            if not _is_class(prediction.top_k_scores[index].class_index, class_names):
                complaints.append(
                    _class_complaint("top_k_scores", prediction.top_k_scores[index].class_index)
                )
                del prediction.top_k_scores[index]
    for truth in batch.ground_truth:
        if not _is_class(truth.true_class, class_names):
            complaints.append(_class_complaint("true_class", truth.true_class))
            truth.true_label = truth.true_label or _label(truth.true_class)
            truth.true_class = -1
    if not complaints:
        return []
    known = f"0 to {class_names - 1}" if class_names else "0 or more"
    return [f"{complaints[0]}, but should be {known}, or -1 for none: it was taken as -1"]


def _has_plain_samples(batch: BatchData, class_names: int) -> bool:
    """Look at all samples once: this runs for every batch, and they are hardly ever bad.

    False where a class or the number of scores is bad, or masks are to be looked at.
    """
    classes = set()
    for prediction in batch.predictions:
        scores = prediction.top_k_scores
        if len(scores) > MAX_SCORES or prediction.HasField("mask"):
            return False
        classes.add(prediction.predicted_class)
        for score in scores:
            classes.add(score.class_index)
    for truth in batch.ground_truth:
        if truth.HasField("mask"):
            return False
        classes.add(truth.true_class)
    return all(_is_class(each, class_names) for each in classes)


def _is_class(value: int, class_names: int) -> bool:
    return value == -1 or (value >= 0 and (not class_names or value < class_names))


def _class_complaint(field: str, value: int) -> str:
    return f"{field} is {value}"


def _label(value: int) -> str:
    return f"class {value}" if value >= 0 else ""


def check_metrics(data: MetricData) -> list[str]:
    """Drop series that cannot be stored. Values may be anything, NaN and infinities included.

    Returns:
        At most two complaints: a message can hold millions of bad series.
    """
    surplus = _drop_surplus_series(data)
    bad = {
        index: complaint
        for index, complaint in enumerate(map(_series_complaint, data.series))
        if complaint
    }
    if not bad:
        return surplus
    first = next(iter(bad))
    told = f"metric_data series {data.series[first].name[:64]!r}{_more(len(bad))} was dropped: "
    good = [series for index, series in enumerate(data.series) if index not in bad]
    kept = MetricData(series=good)
    del data.series[:]
    data.series.MergeFrom(kept.series)
    return [told + bad[first], *surplus]


def _drop_surplus_series(data: MetricData) -> list[str]:
    count = len(data.series)
    if count <= MAX_SERIES:
        return []
    del data.series[MAX_SERIES:]
    return [f"metric_data has {count} series, the limit is {MAX_SERIES}: the first were kept"]


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def _series_complaint(series: MetricSeries) -> str:
    if not 1 <= len(series.name) <= MAX_NAME:
        return f"its name has {len(series.name)} characters, but should have 1 to {MAX_NAME}"
    rows = len(series.steps)
    columns: dict[str, Sequence[Any]] = {"times": series.times, "values": series.values}
    if series.minimums or series.maximums or series.counts:
        columns |= {
            "minimums": series.minimums,
            "maximums": series.maximums,
            "counts": series.counts,
        }
    for name, column in columns.items():
        if len(column) != rows:
            return f"{name} has {len(column)} rows, steps has {rows}: they must be equally long"
    if not all(0 <= step < _MAX_STEP and step == math.floor(step) for step in series.steps):
        return "a step is not a whole number from 0 to 2^53"
    return ""
