"""Sequences of tokens: what is kept of them, and how surprising each token was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["IGNORED", "MOST_TOKENS", "Words", "is_whole", "token_losses"]

MOST_TOKENS = 256
#: The label of a token of which nothing is asked.
IGNORED = -100


@dataclass
class Words:
    """What is kept of the sequences that are shown; arrays as the framework holds them.

    Attributes:
        labels: What was to be said, (n, T).
        inputs: Token ids of the samples, (n, T); None: the samples are pictures.
        losses: Loss of each token of the first sample, (T,); None: unknown.
        spoken: Token ids the model would say, (n, T); None: not looked at.
        aligned: Whether a label is the token at its own place, as language models have it.
        tags: Whether labels are classes of tokens.
    """

    labels: Any
    inputs: Any = None
    losses: Any = None
    spoken: Any = None
    aligned: bool = True
    tags: bool = False


def is_whole(value: Any) -> bool:
    """Return whether a tensor holds whole numbers, and no mere truth values."""
    return str(getattr(value, "dtype", "")).startswith(("torch.int", "torch.uint"))


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
