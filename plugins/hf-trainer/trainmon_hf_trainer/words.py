"""One sequence of a language model: its tokens, and how surprising each was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MOST_TOKENS", "Words", "token_losses"]

MOST_TOKENS = 256
IGNORED = -100


@dataclass
class Words:
    """What is kept of the sequences that are shown; arrays as the framework holds them.

    Attributes:
        inputs: Token ids of the samples, (n, T); None: the samples are pictures.
        labels: What was to be said, (n, T); None: unknown.
        losses: Loss of each token of the first sample, (T,); None: unknown.
        spoken: Token ids the model would say, (n, T); None: not looked at.
        aligned: Whether a label is the token at its own place, as language models have it.
        tags: Whether labels are classes of tokens.
    """

    inputs: Any = None
    labels: Any = None
    losses: Any = None
    spoken: Any = None
    aligned: bool = True
    tags: bool = False

    def choose(self, rows: Sequence[int] | None, count: int) -> None:
        """Keep the labels of the rows that are shown; predictions go where they do not fit."""
        if rows is not None and self.labels is not None:
            self.labels = self.labels[list(rows)]
            self.spoken = None if self.spoken is None else self.spoken[list(rows)]
        if self.labels is not None and len(self.labels) != count:
            self.labels = self.spoken = None


def token_losses(logits: Any, labels: Any, *, shifted: bool) -> Any:
    """Return each token's loss, (T,); NaN where none was asked for.

    Only the target's log probability is worked out, of one sequence.

    Args:
        logits: Of one sequence, (T, V).
        labels: Of the same, (T,).
        shifted: Whether the token at a place is told from the one before.
    """
    import torch

    with torch.no_grad():
        logits, labels = logits.detach()[:MOST_TOKENS], labels[:MOST_TOKENS]
        told = (logits[:-1], labels[1:]) if shifted else (logits, labels)
        numbers, wanted = told[0].float(), told[1]
        asked = wanted != IGNORED
        target = numbers.gather(1, wanted.clamp(min=0).unsqueeze(1)).squeeze(1)
        losses = torch.where(asked, numbers.logsumexp(1) - target, float("nan"))
        if not shifted:
            return losses
        return torch.cat([losses.new_full((1,), float("nan")), losses])
