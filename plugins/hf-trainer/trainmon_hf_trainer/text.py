"""Batches of text: decoded by the Trainer's processing class, and, of language models, by token."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainmon.events import BatchEvent
from trainmon_hf_trainer.describe import token_names
from trainmon_hf_trainer.loss import shifts_labels
from trainmon_hf_trainer.words import IGNORED, MOST_TOKENS, Words, token_losses

__all__ = ["TextReader"]

#: Seconds between two samples of a language model.
_PAUSE_S = 1.0
_KEYS = ("input_ids", "decoder_input_ids")
#: How tokenizers write a space or the end of a line within a token.
_MARKS = (("Ġ", " "), ("▁", " "), ("Ċ", "\n"), ("##", ""))


class TextReader:
    """Reads the texts of one Trainer's batches.

    Args:
        trainer: Whose.
        say: Tells people once.
    """

    def __init__(self, trainer: Any, say: Callable[[str], None]) -> None:
        self._trainer = trainer
        self._say = say
        self._tokenizer = token_names(getattr(trainer, "processing_class", None))
        self._random = random.Random()  # noqa: S311 - it chooses a sequence, it keeps no secret
        self._next_s = 0.0

    def key(self, inputs: Mapping[str, Any]) -> str:
        """Return the key of the token ids; empty where there are none."""
        key = next((name for name in _KEYS if getattr(inputs.get(name), "ndim", 0) == 2), "")
        return "" if key and self._is_far(inputs[key]) else key

    def reads(
        self, inputs: Mapping[str, Any], predictions: Any, truth: Any, *, pictures: bool
    ) -> bool:
        """Return whether this batch is of a model that says or tags words."""
        worded = getattr(truth, "ndim", 0) == 2 and getattr(predictions, "ndim", 3) == 3
        if pictures or not worded:
            return worded
        if predictions is None:  # of a fused loss: labels of whole texts are no words
            return bool(self.key(inputs))
        return bool(predictions.shape[:2] == truth.shape)

    def words(self, inputs: Mapping[str, Any], predictions: Any, truth: Any) -> Words | None:
        """Return what is kept of one sequence; None: another was shown less than a second ago."""
        now_s = time.monotonic()
        if now_s < self._next_s or self._tokenizer is None or self._is_far(truth):
            self._say_no_tokenizer()
            return None
        self._next_s = now_s + _PAUSE_S
        key = self.key(inputs)
        if not key or len(inputs[key]) != len(truth):
            return Words(labels=truth.detach(), aligned=False)
        row = self._random.randrange(len(truth))
        labels = truth[row]
        told = Words(inputs=inputs[key][row : row + 1], labels=truth[row : row + 1])
        told.tags = "TokenClassification" in type(self._trainer.model).__name__
        told.aligned = inputs[key].shape == truth.shape and not self._is_encoder_decoder()
        if predictions is not None:
            logits = predictions[row]
            told.losses = token_losses(logits, labels, shifted=shifts_labels(self._trainer))
            if told.tags or not told.aligned:
                told.spoken = logits.detach()[:MOST_TOKENS].argmax(-1).unsqueeze(0)
        return told

    def event(self, words: Words, batch_size: int) -> BatchEvent:
        """Return one sequence as the page shows it."""
        ids = _whole(words.inputs[0])
        shown: dict[str, Any] = {"texts": [self._decode(ids)], "batch_size": batch_size}
        if words.aligned and words.losses is not None:
            shown["tokens"] = [self._names(ids)]
            shown["token_losses"] = [words.losses[: len(ids)]]
        elif words.losses is not None and words.labels is not None:
            asked = _whole(words.labels[0])
            shown["tokens"] = [self._names(asked)]
            shown["token_losses"] = [words.losses[: len(asked)]]
        if words.tags:
            shown["target_texts"] = [self._tagged(ids, words.labels, words.labels)]
            shown["output_texts"] = [self._tagged(ids, words.spoken, words.labels)]
        elif not words.aligned:
            shown.update(self.told(words))
        return BatchEvent(**shown)

    def told(self, words: Words) -> dict[str, Any]:
        """Return what was to be said and what the model would say, as BatchEvent's fields."""
        if words.labels is None:
            return {}
        shown = {"target_texts": [self._decode(_whole(row)) for row in words.labels]}
        if words.spoken is not None:
            pairs = zip(words.spoken, words.labels, strict=True)
            shown["output_texts"] = [self._decode(_asked(said, label)) for said, label in pairs]
        return shown

    def decoded(self, ids: Any, rows: Sequence[int]) -> list[str] | None:
        """Return the texts of some rows; None where nothing can decode them."""
        if self._tokenizer is None:
            self._say_no_tokenizer()
            return None
        return [self._decode(_whole(ids[row])) for row in rows]

    def _decode(self, ids: Sequence[int]) -> str:
        known = [each for each in ids if each >= 0]
        return (
            str(self._tokenizer.decode(known, skip_special_tokens=True)) if self._tokenizer else ""
        )

    def _names(self, ids: Sequence[int]) -> list[str]:
        """Return tokens as people read them; one that is no token is empty."""
        if self._tokenizer is None:
            return []
        names = self._tokenizer.convert_ids_to_tokens([max(0, each) for each in ids])
        return [_plain(name) if each >= 0 else "" for each, name in zip(ids, names, strict=True)]

    def _tagged(self, ids: Sequence[int], classes: Any, asked: Any) -> str:
        """Return the tokens that have a tag, each with it."""
        if classes is None:
            return ""
        labels = getattr(getattr(self._trainer.model, "config", None), "id2label", None) or {}
        rows = zip(self._names(ids), _whole(classes[0]), _whole(asked[0]), strict=False)
        return " ".join(
            f"{name.strip()}/{labels.get(tag, tag)}"
            for name, tag, known in rows
            if known != IGNORED
        )

    def _is_encoder_decoder(self) -> bool:
        config = getattr(self._trainer.model, "config", None)
        return bool(getattr(config, "is_encoder_decoder", False))

    def _is_far(self, ids: Any) -> bool:
        """Return whether reading these would make the training wait for its device."""
        far = bool(getattr(getattr(ids, "device", None), "type", "cpu") != "cpu")
        if far:
            self._say(
                "text on an accelerator is not shown: to read it would make the training wait for "
                "the device; losses, rates and controls are"
            )
        return far

    def _say_no_tokenizer(self) -> None:
        if self._tokenizer is None:
            self._say(
                "these batches are text, and nothing is known that decodes them: hand the "
                "tokenizer to the Trainer, Trainer(..., processing_class=tokenizer)"
            )


def _whole(ids: Any) -> list[int]:
    """Return the first token ids of one sequence as numbers."""
    return [int(each) for each in ids[:MOST_TOKENS].tolist()]


def _asked(said: Any, label: Any) -> list[int]:
    """Return what was said where something was asked for."""
    pairs = zip(_whole(said), _whole(label), strict=False)
    return [word for word, wanted in pairs if wanted != IGNORED]


def _plain(token: Any) -> str:
    name = str(token)
    for mark, meaning in _MARKS:
        name = name.replace(mark, meaning)
    return name
