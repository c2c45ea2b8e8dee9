"""Learn which pixels are disc, square or background, from their colours: masks on the dashboard.

Start `trainmon gateway`, then this. A softmax regression over the colours of each pixel and of its
neighbourhood, with NumPy alone.
"""

from __future__ import annotations

import argparse

import numpy as np

import trainmon

CLASSES = ["background", "disc", "square"]
EDGE = 48


def scenes(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (count, EDGE, EDGE, 3), 0 to 1, and the class of each pixel."""
    rows, columns = np.mgrid[:EDGE, :EDGE]
    masks = np.zeros((count, EDGE, EDGE), np.int64)
    for mask in masks:
        for shape in (1, 2):
            y, x = generator.integers(10, EDGE - 10, 2)
            size = generator.integers(6, 12)
            if shape == 1:
                mask[(rows - y) ** 2 + (columns - x) ** 2 < size**2] = 1
            else:
                mask[(abs(rows - y) < size) & (abs(columns - x) < size)] = 2
    colours = np.array([[0.25, 0.3, 0.35], [0.8, 0.45, 0.3], [0.35, 0.5, 0.8]])
    noise = generator.normal(0, 0.12, (count, EDGE, EDGE, 3))
    return np.clip(colours[masks] + noise, 0, 1).astype(np.float32), masks


def features(images: np.ndarray) -> np.ndarray:
    """Return for each pixel its colour, the mean colour around it, and a one."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    windows = [padded[:, dy : dy + EDGE, dx : dx + EDGE] for dy in range(5) for dx in range(5)]
    ones = np.ones((*images.shape[:3], 1), np.float32)
    return np.concatenate([images, np.mean(windows, axis=0), ones], axis=-1)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 0.3, (7, len(CLASSES)))
    with trainmon.start_session("segmentation", class_names=CLASSES) as session:
        for _ in range(steps):
            images, masks = scenes(generator, 16)
            inputs = features(images)
            logits = inputs @ weights
            powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
            shares = powers / powers.sum(axis=-1, keepdims=True)
            truth = np.eye(len(CLASSES))[masks]
            loss = -np.log((shares * truth).sum(axis=-1)).mean()
            gradient = np.tensordot(inputs, shares - truth, axes=([0, 1, 2], [0, 1, 2]))
            weights -= 0.2 * gradient / masks.size
            session.batch_end(images=images, outputs=logits, targets=masks, loss=loss)
            session.control_point()
        session.epoch_end()


if __name__ == "__main__":
    main()
