"""Token ids in the CPU's memory as texts that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainmon_hf_trainer.describe import token_names
from trainmon_hf_trainer.words import IGNORED, MOST_TOKENS

__all__ = ["Decoder"]

#: How tokenizers write a space or the end of a line within a token.
_MARKS = (("Ġ", " "), ("▁", " "), ("Ċ", "\n"), ("##", ""))


class Decoder:
    """Reads the token ids of one Trainer's batches.

    Args:
        trainer: Whose processing class knows the tokens.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._tokenizer = token_names(getattr(trainer, "processing_class", None))
        self._special = frozenset(getattr(self._tokenizer, "all_special_ids", None) or ())

    @property
    def knows_tokens(self) -> bool:
        """Whether there is anything that decodes them."""
        return self._tokenizer is not None

    def text(self, ids: Any) -> str:
        """Return the text of some ids, (T,); those below 0 are none."""
        known = [each for each in _whole(ids) if each >= 0]
        return self._decoded(known)

    def choices(self, ids: Any) -> str:
        """Return the texts of several choices, (C, T), a line each."""
        return "\n".join(f"{index}: {self.text(each)}" for index, each in enumerate(ids))

    def asked(self, said_and_label: Any) -> str:
        """Return what was said where something was asked for, (2, T)."""
        said, label = said_and_label
        pairs = zip(_whole(said), _whole(label), strict=True)
        return self._decoded([word for word, wanted in pairs if wanted != IGNORED])

    def span(self, ids_and_ends: Any) -> str:
        """Return the text between two places, (T + 2,): the ids, the first place and the last."""
        *ids, first, last = (int(each) for each in ids_and_ends.tolist())
        if not 0 <= first <= last < len(ids):
            return ""
        return self._decoded(ids[first : last + 1])

    def pieces(self, ids: Any) -> list[str]:
        """Return tokens as people read them, (T,); one that is no token is empty."""
        if self._tokenizer is None:
            return []
        known = _whole(ids)
        names = self._tokenizer.convert_ids_to_tokens([max(0, each) for each in known])
        return [_plain(name) if each >= 0 else "" for each, name in zip(known, names, strict=True)]

    def tagged(self, ids_tags_asked: Any) -> str:
        """Return words, each with its tag, (3, T): ids, tags, and the labels.

        Where only the first token of a word has a label, as is usual, the others are joined to it.
        """
        ids, tags, asked = (_whole(each) for each in ids_tags_asked)
        config = getattr(self._trainer.model, "config", None)
        names = getattr(config, "id2label", None) or {}
        words: list[tuple[str, str]] = []
        for token, piece, tag, label in zip(ids, self.pieces(ids), tags, asked, strict=True):
            if label != IGNORED:
                words.append((piece.strip(), str(names.get(tag, tag))))
            elif words and token not in self._special:
                words[-1] = (words[-1][0] + piece, words[-1][1])
        return " ".join(f"{word}/{tag}" for word, tag in words)

    def _decoded(self, ids: Sequence[int]) -> str:
        if self._tokenizer is None:
            return ""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def _whole(ids: Any) -> list[int]:
    """Return the first token ids of one sequence as numbers."""
    first = ids[:MOST_TOKENS]
    return [int(each) for each in (first.tolist() if hasattr(first, "tolist") else first)]


def _plain(token: Any) -> str:
    name = str(token)
    for mark, meaning in _MARKS:
        name = name.replace(mark, meaning)
    return name
