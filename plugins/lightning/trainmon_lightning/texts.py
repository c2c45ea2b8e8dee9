"""Batches of text: strings, or token ids and the tokenizer that the script has anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainmon.adapters import TokenTexts
from trainmon.adapters.batches import Part, Samples, Where, is_array, look_up, parts_of

__all__ = ["decoder_of", "find_texts"]

_TOKENIZERS = ("tokenizer", "processor", "text_processor")
_TOKENS = ("input_ids", "tokens", "token_ids")
_LABELS = ("label", "labels", "target", "targets", "y")


def decoder_of(trainer: Any) -> Callable[[Any], str] | None:
    """Return what makes text of token ids, as data module or module have it; None: neither has."""
    for holder in (trainer.datamodule, trainer.lightning_module):
        for name in _TOKENIZERS:
            decode = getattr(getattr(holder, name, None), "decode", None)
            if callable(decode):
                return _by_rows(decode)
    return None


def _by_rows(decode: Callable[[list[int]], Any]) -> Callable[[Any], str]:
    return lambda ids: str(decode([int(each) for each in ids]))


def find_texts(
    batch: Any,
    texts: Where | None,
    targets: Where | None,
    decode: Callable[[Any], str] | None,
) -> Samples | None:
    """Find the texts of a batch in which there are no pictures; None: there are none.

    Args:
        batch: What the loader yields.
        texts: Where the user says they are: strings, or token ids where ``decode`` is known.
        targets: Where the user says the truth is.
        decode: Makes text of the token ids of a sample; None: unknown.

    Raises:
        LookupError: ``texts`` or ``targets`` name something that is not there, or token ids that
            nobody can read.
    """
    part = _told(batch, texts) if texts is not None else _tokens(batch) if decode else None
    if part is None:
        return None
    ids = part.value
    if is_array(ids):
        if decode is None:
            raise LookupError(
                f"texts={texts!r} are numbers, and neither module nor data module has a tokenizer: "
                "give a function of the batch that returns strings"
            )
        part = Part(f"{part.path}, decoded", TokenTexts(ids, decode))
    count = len(part.value)
    truth = _truth(batch, count) if targets is None else _told(batch, targets)
    return Samples(count, targets=truth, texts=part)


def _told(batch: Any, where: Where) -> Part:
    name = getattr(where, "__name__", "a function") if callable(where) else repr(where)
    return Part(f"{name} (as told)", look_up(batch, where))


def _tokens(batch: Any) -> Part | None:
    named = (part for part in parts_of(batch) if _name(part) in _TOKENS)
    return next((part for part in named if len(getattr(part.value, "shape", ())) == 2), None)


def _truth(batch: Any, count: int) -> Part | None:
    """Return one class or value a sample; a language model's labels are tokens themselves."""
    named = (part for part in parts_of(batch) if _name(part) in _LABELS)
    return next((p for p in named if tuple(getattr(p.value, "shape", ())) == (count,)), None)


def _name(part: Part) -> str:
    return part.path.replace("]", "").replace("'", "").replace("[", ".").rpartition(".")[2].lower()
