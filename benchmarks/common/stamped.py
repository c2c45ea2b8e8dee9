"""A training that draws the number of each step into its first picture, for a reader of pixels.

    python -m common.stamped digits | photos

Sixteen samples a step are shown, 60 steps a second: the digits of ``trainmon demo`` (8 px), or
pictures of 256 px with as much detail as photographs have. The first is a stamp: eight by eight
blocks, black or white, that tell the step and a checksum of it. ``TRAINMON_MONITOR`` says where to.
Trains until it is told to stop.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

import trainmon
from trainmon.demo.digits import CLASS_NAMES, load_digits
from trainmon.demo.network import Momentum, Perceptron, cross_entropy

Array = npt.NDArray[np.uint8]

RATE = 60
SHOWN = 16
PHOTO_PX = 256
BLOCKS = 8
_POOL = 96
_OCTAVES = (4, 8, 16, 32, 64, 128)


def stamp(step: int) -> Array:
    """Return blocks (8, 8) of 0 and 255: the step in 32 bits, then its CRC-32."""
    told = step.to_bytes(4, "big")
    bits = np.unpackbits(np.frombuffer(told + zlib.crc32(told).to_bytes(4, "big"), np.uint8))
    blocks: Array = (bits * np.uint8(255)).reshape(BLOCKS, BLOCKS)
    return blocks


def read_stamp(values: Sequence[float]) -> int | None:
    """Return the step that 64 brightnesses from 0 to 255 tell; None: the checksum is another."""
    bits = (np.asarray(values) > 127).astype(np.uint8)
    told, checksum = np.packbits(bits).tobytes()[:4], np.packbits(bits).tobytes()[4:]
    known = zlib.crc32(told).to_bytes(4, "big") == checksum
    return int.from_bytes(told, "big") if known else None


def photo(random: np.random.Generator) -> Array:
    """Return a picture (256, 256, 3) whose detail falls with its size, as that of photographs."""
    total = np.zeros((PHOTO_PX, PHOTO_PX, 3))
    for octave in _OCTAVES:
        noise = random.integers(0, 256, (octave, octave, 3), dtype=np.uint8)
        size = (PHOTO_PX, PHOTO_PX)
        wide = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        total += (np.asarray(wide) - 127.5) / octave**0.6
    scaled: Array = np.clip(total / total.std() * 55 + 127.5, 0, 255).astype(np.uint8)
    return scaled


def digits(random: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return digits (N, 8, 8) and their classes (N,)."""
    data = load_digits(random, 0.08)
    return (data.images * 255).astype(np.uint8), data.labels


def photos(random: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return pictures (N, 256, 256, 3) and classes (N,) that mean nothing."""
    return np.stack([photo(random) for _ in range(_POOL)]), random.integers(0, 10, _POOL)


def main() -> None:
    """Train."""
    content = sys.argv[1]
    random = np.random.default_rng(5)
    images, labels = {"digits": digits, "photos": photos}[content](random)
    edge = images.shape[1]
    # The network sees the photographs small: what is measured is how they are shown.
    stride = max(1, edge // 32)
    seen = images.reshape(len(images), edge, edge, -1)[:, ::stride, ::stride, 0]
    pixels = seen.reshape(len(images), -1) / 255
    network = Perceptron((pixels.shape[1], 96, 10), random)
    optimizer = Momentum(network.parameters, 0.01)
    with trainmon.start_session(content, class_names=CLASS_NAMES) as session:
        step, due_s = 0, time.monotonic()
        while True:
            chosen = random.integers(0, len(images), 64)
            logits, hidden = network.forward(pixels[chosen])
            loss, of_logits = cross_entropy(logits, labels[chosen])
            optimizer.step(network.gradients(pixels[chosen], hidden, of_logits))
            shown = images[chosen[:SHOWN]]
            blocks = stamp(step).repeat(edge // BLOCKS, axis=0).repeat(edge // BLOCKS, axis=1)
            shown[0] = blocks if shown.ndim == 3 else blocks[..., np.newaxis]
            session.batch_end(
                images=shown, outputs=logits[:SHOWN], targets=labels[chosen[:SHOWN]], loss=loss
            )
            session.control_point(optimizer)
            step += 1
            # What is late is made up for, unless it was a pause.
            due_s = max(due_s + 1 / RATE, time.monotonic() - 0.1)
            time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main()
