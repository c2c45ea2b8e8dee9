"""Small models and data, and a Trainer that trains them a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from trainmon_hf_trainer import TrainmonCallback
from transformers import (
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)

WORDS = ["[PAD]", "[UNK]", "the", "cat", "sat", "on", "a", "mat", "dog", "ran"]
NAMES = {0: "zero", 1: "one", 2: "two"}


def pictures(count: int = 40) -> list[dict[str, Any]]:
    """Return made-up pictures in three classes."""
    generator = np.random.default_rng(0)
    return [
        {"pixel_values": generator.random((1, 8, 8), np.float32), "labels": index % 3}
        for index in range(count)
    ]


def vit(**more: Any) -> Any:
    """Return a small model of pictures."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=8, patch_size=4, num_channels=1, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, id2label=NAMES, **more,
    )  # fmt: skip
    return ViTForImageClassification(config)


def tokenizer() -> Any:
    """Return a tokenizer of ten words."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def fit(folder: Path, model: Any, data: Any, /, kind: Any = Trainer, **more: Any) -> Any:
    """Train a little and return the Trainer."""
    optional = ("eval_dataset", "processing_class", "data_collator", "compute_metrics")
    given = {name: more.pop(name) for name in optional if name in more}
    ours = more.pop("ours", None) or TrainmonCallback()
    callbacks = [ours, *more.pop("callbacks", ())]
    resume = more.pop("resume", None)
    kind_of_arguments = more.pop("arguments", TrainingArguments)
    settings = {
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
        "logging_strategy": "no",
        **more,
    }
    arguments = kind_of_arguments(
        str(folder), use_cpu=True, report_to="none",
        disable_tqdm=True, **settings,
    )  # fmt: skip
    trainer = kind(model, arguments, train_dataset=data, callbacks=callbacks, **given)
    trainer.train(resume_from_checkpoint=resume)
    return trainer
