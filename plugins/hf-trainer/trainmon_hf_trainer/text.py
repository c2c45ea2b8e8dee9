"""Batches of text: decoded by the Trainer's processing class, and, of language models, by token.

Token ids are handed over as they are, wherever they lie, with what decodes them: the session reads
only the rows that it shows, and those on an accelerator once they are here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from trainmon.adapters import TokenTexts
from trainmon.events import BatchEvent
from trainmon_hf_trainer.decoding import Decoder
from trainmon_hf_trainer.loss import shifts_labels
from trainmon_hf_trainer.words import MOST_TOKENS, Words, is_whole, token_losses

__all__ = ["TextReader"]

#: Seconds between two samples of a language model.
_PAUSE_S = 1.0
_KEYS = ("input_ids", "decoder_input_ids")


class TextReader:
    """Reads the texts of one Trainer's batches.

    Args:
        trainer: Whose.
        say: Tells people once.
    """

    def __init__(self, trainer: Any, say: Callable[[str], None]) -> None:
        self._trainer = trainer
        self._say = say
        self._decoder = Decoder(trainer)
        self._random = random.Random()  # noqa: S311 - it chooses a sequence, it keeps no secret
        self._next_s = 0.0

    def key(self, inputs: Mapping[str, Any]) -> str:
        """Return the key of the token ids, (B, T) or, of C choices, (B, C, T); empty: none."""
        return next((name for name in _KEYS if getattr(inputs.get(name), "ndim", 0) in (2, 3)), "")

    def reads(
        self, inputs: Mapping[str, Any], predictions: Any, truth: Any, *, pictures: bool
    ) -> bool:
        """Return whether this batch is of a model that says or tags words."""
        if getattr(truth, "ndim", 0) != 2 or not is_whole(truth):
            return False
        if predictions is None:  # of a fused loss: labels of whole texts are no words
            return self._decoder.knows_tokens if pictures else bool(self.key(inputs))
        if predictions.ndim != 3:
            return False
        return pictures or bool(predictions.shape[:2] == truth.shape)

    def words(
        self, inputs: Mapping[str, Any], predictions: Any, truth: Any, *, pictures: bool
    ) -> Words | None:
        """Return what is kept; of text one sequence, and None where one was shown just before."""
        if not self._can_decode():
            return None
        if pictures:
            return Words(truth.detach(), aligned=False)
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        self._next_s = now_s + _PAUSE_S
        key = self.key(inputs)
        if not key or len(inputs[key]) != len(truth) or inputs[key].ndim != 2:
            return None
        row = self._random.randrange(len(truth))
        told = Words(truth[row : row + 1], inputs[key][row : row + 1])
        told.tags = "TokenClassification" in type(self._trainer.model).__name__
        told.aligned = inputs[key].shape == truth.shape and not self._is_encoder_decoder()
        if predictions is not None:
            logits, shifted = predictions[row], shifts_labels(self._trainer)
            told.losses = token_losses(logits, truth[row], shifted=shifted)
            if not shifted:  # of what is told from the text before it, the losses say enough
                told.spoken = logits.detach()[:MOST_TOKENS].argmax(-1).unsqueeze(0)
        return told

    def event(self, words: Words, batch_size: int) -> BatchEvent:
        """Return one sequence as the page shows it."""
        shown: dict[str, Any] = {"texts": self._texts(words.inputs), "batch_size": batch_size}
        if words.losses is not None:
            scored = words.inputs if words.aligned else words.labels
            pieces: Any = self._decoder.pieces  # a list of texts for each sample
            shown["tokens"] = TokenTexts(scored[:, :MOST_TOKENS], pieces)
            shown["token_losses"] = [words.losses]
        if words.tags:
            tagged = self._tagged(words, words.labels)
            shown["target_texts"] = tagged
            shown["output_texts"] = self._tagged(words, words.spoken)
        elif words.spoken is not None or not words.aligned:
            shown.update(self.told(words))
        return BatchEvent(**shown)

    def told(self, words: Words) -> dict[str, Any]:
        """Return what was to be said and what the model would say, as BatchEvent's fields."""
        shown = {"target_texts": self._texts(words.labels)}
        if words.spoken is not None:
            both = _stacked(words.spoken, words.labels)
            shown["output_texts"] = TokenTexts(both, self._decoder.asked)
        return shown

    def decoded(self, ids: Any) -> Any | None:
        """Return the texts of all rows of token ids; None where nothing can decode them."""
        if not self._can_decode():
            return None
        if ids.ndim == 3:
            return TokenTexts(ids[..., :MOST_TOKENS], self._decoder.choices)
        return self._texts(ids)

    def span(self, ids: Any, first: Any, last: Any) -> Any | None:
        """Return, of all rows of token ids, the texts between two places, (B,) each."""
        import torch

        if not self._decoder.knows_tokens or ids.ndim != 2:
            return None
        ends = torch.stack([first, last], -1).to(ids.dtype)
        return TokenTexts(torch.cat([ids, ends], -1), self._decoder.span)

    def _texts(self, ids: Any) -> Any:
        return TokenTexts(ids[:, :MOST_TOKENS], self._decoder.text)

    def _tagged(self, words: Words, tags: Any) -> Any | None:
        if tags is None:
            return None
        return TokenTexts(_stacked(words.inputs, tags, words.labels), self._decoder.tagged)

    def _is_encoder_decoder(self) -> bool:
        config = getattr(self._trainer.model, "config", None)
        return bool(getattr(config, "is_encoder_decoder", False))

    def _can_decode(self) -> bool:
        if not self._decoder.knows_tokens:
            self._say(
                "these batches are text, and nothing is known that decodes them: hand the "
                "tokenizer to the Trainer, Trainer(..., processing_class=tokenizer)"
            )
        return self._decoder.knows_tokens


def _stacked(*rows: Any) -> Any:
    """Return sequences that are read together, (B, how many, T)."""
    import torch

    most = min(MOST_TOKENS, *(each.shape[-1] for each in rows))
    return torch.stack([each[:, :most] for each in rows], 1)
