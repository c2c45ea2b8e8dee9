"""Learn which letter follows which: texts with the loss of each token on the dashboard.

Start `trainmon gateway`, then this. A bigram model of letters, with NumPy alone.
"""

from __future__ import annotations

import argparse

import numpy as np

import trainmon

SENTENCES = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "how vexingly quick daft zebras jump",
    "sphinx of black quartz, judge my vow",
    "the five boxing wizards jump quickly",
    "jackdaws love my big sphinx of quartz",
    "a wizard's job is to vex chumps quickly in fog",
    "we promptly judged antique ivory buckles for the next prize",
]
LETTERS = sorted(set("".join(SENTENCES)))


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps
    generator = np.random.default_rng(0)
    number = {letter: index for index, letter in enumerate(LETTERS)}
    weights = np.zeros((len(LETTERS), len(LETTERS)))
    with trainmon.start_session("letters") as session:
        for _ in range(steps):
            texts = [SENTENCES[row] for row in generator.permutation(len(SENTENCES))]
            token_losses, gradient = [], np.zeros_like(weights)
            for text in texts:
                indices = np.array([number[letter] for letter in text])
                before, after = indices[:-1], indices[1:]
                powers = np.exp(weights[before])
                shares = powers / powers.sum(axis=1, keepdims=True)
                losses = -np.log(shares[np.arange(len(after)), after])
                token_losses.append(np.concatenate([[np.nan], losses]))
                np.add.at(gradient, before, np.eye(len(LETTERS))[after] - shares)
            weights += 0.02 * gradient
            sample_losses = [np.nanmean(losses) for losses in token_losses]
            session.batch_end(
                texts=texts,
                tokens=[list(text) for text in texts],
                token_losses=token_losses,
                sample_losses=np.array(sample_losses),
                loss=np.mean(sample_losses),
            )
            session.control_point()
        session.epoch_end()


if __name__ == "__main__":
    main()
