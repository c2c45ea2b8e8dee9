"""Boxes of detection models: from centre and size in parts of the picture to corners in pixels.

All is worked out where the boxes lie, and nothing is asked of them that would make the training
wait for an accelerator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["predicted_boxes", "true_boxes"]

#: Predictions of one picture that are shown: the surest, and none that is less sure.
_MOST = 20
_LEAST_SCORE = 0.3


def true_boxes(
    labels: Sequence[Mapping[str, Any]], rows: Iterable[int], shape: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the true boxes of the chosen samples.

    Args:
        labels: One mapping a sample, as transformers' detection models take them.
        rows: Which.
        shape: Of the pictures, (B, C, H, W).
    """
    return [
        {
            "boxes": _corners(labels[row]["boxes"].detach(), *_size(labels[row], shape)),
            "labels": labels[row].get("class_labels"),
        }
        for row in rows
    ]


def predicted_boxes(
    output: Any,
    rows: Iterable[int],
    labels: Sequence[Mapping[str, Any]],
    shape: Sequence[int],
    classes: int | None,
) -> list[dict[str, Any]] | None:
    """Return the boxes that a model predicts; None where it predicts none in training.

    Args:
        output: Of the model: ``logits`` (B, Q, C) and ``pred_boxes`` (B, Q, 4).
        rows: Which samples.
        labels: As of :func:`true_boxes`.
        shape: Of the pictures, (B, C, H, W).
        classes: How many there are of objects; None: unknown.
    """
    logits: Any = getattr(output, "logits", None)
    boxes: Any = getattr(output, "pred_boxes", None)
    if getattr(logits, "ndim", 0) != 3 or getattr(boxes, "ndim", 0) != 3:
        return None
    count = _queries(output, logits)
    found = [(logits[row, -count:].detach(), boxes[row, -count:].detach(), row) for row in rows]
    return [_surest(one, box, _size(labels[row], shape), classes) for one, box, row in found]


def _queries(output: Any, logits: Any) -> int:
    """Return how many of the last queries are the model's own: before them come noised truths."""
    noised = getattr(output, "denoising_meta_values", None)
    split = noised.get("dn_num_split") if isinstance(noised, Mapping) else None
    return int(split[1]) if split is not None else int(logits.shape[1])


def _surest(logits: Any, boxes: Any, size: tuple[Any, Any], classes: int | None) -> dict[str, Any]:
    import torch

    if logits.shape[-1] == classes:
        scores, found = logits.float().sigmoid().max(-1)
    else:  # the last class is "no object"
        scores, found = logits.float().softmax(-1)[..., :-1].max(-1)
    scores, best = scores.topk(min(_MOST, len(scores)))
    # What is not sure is no box: how many are is not asked, for that would wait for the device.
    sure = (scores >= _LEAST_SCORE).unsqueeze(-1)
    corners = torch.where(sure, _corners(boxes[best], *size), float("nan"))
    return {"boxes": corners, "labels": found[best], "scores": scores}


def _size(label: Mapping[str, Any], shape: Sequence[int]) -> tuple[Any, Any]:
    """Return height and width that boxes are parts of: the picture's without its padding."""
    size = label.get("size")
    if size is None:
        return shape[-2], shape[-1]
    return size[0], size[1]


def _corners(boxes: Any, high: Any, wide: Any) -> Any:
    import torch

    x, y, width, height = boxes.float().unbind(-1)
    sides = [
        (x - width / 2) * wide,
        (y - height / 2) * high,
        (x + width / 2) * wide,
        (y + height / 2) * high,
    ]
    return torch.stack(sides, -1)
