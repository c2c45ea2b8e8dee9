"""Boxes of detection models: from centre and size in parts of the picture to corners in pixels."""

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
            "boxes": _corners(labels[row]["boxes"], _size(labels[row], shape)),
            "labels": labels[row].get("class_labels"),
        }
        for row in rows
    ]


def predicted_boxes(
    output: Any, rows: Iterable[int], labels: Sequence[Mapping[str, Any]], shape: Sequence[int]
) -> list[dict[str, Any]] | None:
    """Return the boxes that a model predicts; None where it predicts none in training.

    Args:
        output: Of the model: ``logits`` (B, Q, C) and ``pred_boxes`` (B, Q, 4).
        rows: Which samples.
        labels: As of :func:`true_boxes`.
        shape: Of the pictures, (B, C, H, W).
    """
    logits, boxes = getattr(output, "logits", None), getattr(output, "pred_boxes", None)
    if logits is None or boxes is None:
        return None
    return [
        _surest(logits[row].detach(), boxes[row].detach(), _size(labels[row], shape))
        for row in rows
    ]


def _surest(logits: Any, boxes: Any, size: tuple[float, float]) -> dict[str, Any]:
    # The last class of softmax models is "no object".
    scores, classes = logits.float().softmax(-1)[..., :-1].max(-1)
    best = scores.topk(min(_MOST, len(scores))).indices
    best = best[scores[best] >= _LEAST_SCORE]
    return {
        "boxes": _corners(boxes[best], size),
        "labels": classes[best],
        "scores": scores[best],
    }


def _size(label: Mapping[str, Any], shape: Sequence[int]) -> tuple[float, float]:
    """Return height and width that boxes are parts of: the picture's without its padding."""
    size = label.get("size")
    if size is None:
        return float(shape[-2]), float(shape[-1])
    return float(size[0]), float(size[1])


def _corners(boxes: Any, size: tuple[float, float]) -> Any:
    import torch

    x, y, width, height = boxes.detach().float().unbind(-1)
    corners = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)
    return corners * corners.new_tensor([size[1], size[0], size[1], size[0]])
