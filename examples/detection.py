"""Learn where a bright box lies in a picture: boxes on the dashboard.

Start `trainmon gateway`, then this. A linear regression from how bright rows and columns are to the
box's edges, with NumPy alone.
"""

from __future__ import annotations

import argparse

import numpy as np

import trainmon

CLASSES = ["warm", "cold"]
EDGE = 96


def scenes(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures (count, 3, EDGE, EDGE), the box in each (x1, y1, x2, y2), and its class."""
    images = generator.normal(0.3, 0.1, (count, 3, EDGE, EDGE))
    corners = generator.integers(4, 50, (count, 2))
    sizes = generator.integers(16, 40, (count, 2))
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    labels = generator.integers(0, len(CLASSES), count)
    for image, (left, top, right, bottom), label in zip(images, boxes, labels, strict=True):
        image[0 if label == 0 else 2, top:bottom, left:right] += 0.5
    return np.clip(images, 0, 1).astype(np.float32), boxes, labels


def features(images: np.ndarray) -> np.ndarray:
    """Return how bright each row and each column is, and a one."""
    bright = images.max(axis=1)
    rows, columns = bright.mean(axis=2), bright.mean(axis=1)
    values = np.concatenate([rows, columns], axis=1)
    centred = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    return np.concatenate([centred, np.ones((len(images), 1))], axis=1)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps
    generator = np.random.default_rng(0)
    weights = np.zeros((2 * EDGE + 1, 4))
    with trainmon.start_session("detection", class_names=CLASSES) as session:
        for _ in range(steps):
            images, boxes, labels = scenes(generator, 16)
            inputs = features(images)
            found = inputs @ weights
            errors = found - boxes / EDGE
            weights -= 0.0003 * inputs.T @ errors
            warmth = (images[:, 0] - images[:, 2]).mean(axis=(1, 2))
            session.batch_end(
                images=images,
                output_boxes=[
                    {"boxes": box[None] * EDGE, "labels": [int(warm < 0)], "scores": [0.9]}
                    for box, warm in zip(found, warmth, strict=True)
                ],
                target_boxes=[
                    {"boxes": box[None], "labels": [label]}
                    for box, label in zip(boxes, labels, strict=True)
                ],
                sample_losses=(errors**2).mean(axis=1),
                loss=(errors**2).mean(),
            )
            session.control_point()
        session.epoch_end()


if __name__ == "__main__":
    main()
