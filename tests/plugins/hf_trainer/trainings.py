"""Small trainings, as people's scripts have them; each says what a session was told of it.

``python trainings.py FOLDER`` writes FOLDER/facts.json, by the name of the training.
"""

# ruff: noqa: D103 - the name of a training says what it is

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from account import ACCOUNT, main
from models import NAMES, WORDS, fit, pictures, tokenizer, vit
from trainmon_hf_trainer import TrainmonCallback
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.utils import ModelOutput


class Real(TrainerCallback):
    """The mean loss of each batch, worked out from the model's own logits."""

    def __init__(self, model: Any) -> None:
        self.losses: list[float] = []
        model.register_forward_hook(self._hear, with_kwargs=True)

    def _hear(self, module: Any, arguments: Any, given: Any, out: Any) -> None:
        if module.training:
            loss = torch.nn.functional.cross_entropy(out["logits"], given["labels"])
            self.losses.append(float(loss))


def _real(folder: Path, **more: Any) -> dict[str, Any]:
    model = vit()
    real = Real(model)
    trainer = fit(folder, model, pictures(), **more)
    left = [name for name in ("training_step",) if name in vars(trainer)]
    return ACCOUNT.facts(real=real.losses, left=left)


def plain(folder: Path) -> dict[str, Any]:
    return _real(folder)


def accumulated(folder: Path) -> dict[str, Any]:
    return _real(folder, gradient_accumulation_steps=3)


def halved(folder: Path) -> dict[str, Any]:
    return _real(folder, bf16=True)


def smoothed(folder: Path) -> dict[str, Any]:
    fit(folder, vit(), pictures(), label_smoothing_factor=0.1)
    return ACCOUNT.facts()


def compiled(folder: Path) -> dict[str, Any]:
    torch._dynamo.reset()
    fit(folder, vit(), pictures(), torch_compile=True, torch_compile_backend="eager")
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    return ACCOUNT.facts(graphs=graphs)


def own_loss(folder: Path) -> dict[str, Any]:
    class Own(Trainer):
        def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
            labels = inputs.pop("labels")
            return torch.nn.functional.cross_entropy(model(**inputs).logits, labels)

    fit(folder, vit(), pictures(), kind=Own)
    return ACCOUNT.facts()


def regression(folder: Path) -> dict[str, Any]:
    data = [{**each, "labels": float(each["labels"])} for each in pictures()]
    config = ViTConfig(
        image_size=8, patch_size=4, num_channels=1, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, num_labels=1,
    )  # fmt: skip
    fit(folder, ViTForImageClassification(config), data)
    return ACCOUNT.facts()


def stream(folder: Path) -> dict[str, Any]:
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            yield from pictures(400)

    fit(folder, vit(), Endless())
    return ACCOUNT.facts()


def segmentation(folder: Path) -> dict[str, Any]:
    config = SegformerConfig(
        num_channels=3, num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
        patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[1, 1],
        decoder_hidden_size=16, num_labels=3,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    data = [
        {
            "pixel_values": generator.random((3, 32, 32), np.float32),
            "labels": generator.integers(0, 3, (32, 32)),
        }
        for _ in range(16)
    ]
    fit(folder, SegformerForSemanticSegmentation(config), data)
    return ACCOUNT.facts()


def detection(folder: Path) -> dict[str, Any]:
    class Detector(torch.nn.Module):
        """Finds one box in the middle of every picture, and is sure of class 1."""

        def __init__(self) -> None:
            super().__init__()
            self.sure = torch.nn.Parameter(torch.tensor([0.0, 9.0, 0.0]))

        def forward(self, pixel_values: Any, labels: Any) -> Any:
            logits = self.sure.expand(len(pixel_values), 1, 3)
            boxes = torch.tensor([0.5, 0.5, 0.5, 0.25]).expand(len(pixel_values), 1, 4)
            loss = (self.sure**2).mean()
            return ModelOutput(loss=loss, logits=logits, pred_boxes=boxes)

    def collate(samples: Any) -> Any:
        return {
            "pixel_values": torch.stack([torch.tensor(each["pixel_values"]) for each in samples]),
            "labels": [
                {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 1.0, 1.0]])}
                for _ in samples
            ],
        }

    fit(folder, Detector(), pictures(), data_collator=collate, remove_unused_columns=False)
    return ACCOUNT.facts()


def texts(folder: Path) -> dict[str, Any]:
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=3, id2label=NAMES, pad_token_id=0,
    )  # fmt: skip
    words = tokenizer()
    data = [
        {"input_ids": words("the cat sat on a mat")["input_ids"], "labels": index % 3}
        for index in range(16)
    ]
    fit(folder, BertForSequenceClassification(config), data, processing_class=words)
    return ACCOUNT.facts()


def language(folder: Path) -> dict[str, Any]:
    words = tokenizer()
    config = GPT2Config(vocab_size=len(WORDS), n_embd=16, n_layer=1, n_head=2, n_positions=16)
    ids = words("the cat sat on a mat")["input_ids"]
    data = [{"input_ids": ids, "labels": ids} for _ in range(16)]
    fit(folder, GPT2LMHeadModel(config), data, processing_class=words, gradient_checkpointing=True)
    return ACCOUNT.facts()


def resumed(folder: Path) -> dict[str, Any]:
    """Eight updates with a rate that is halved after two; the second half is trained again."""

    class Halve(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            rates.append(given["optimizer"].param_groups[0]["lr"])
            if state.global_step == 2 and halve:
                from trainmon_hf_trainer.controls import learning_rates

                from trainmon.adapters import Scale

                owner = type("Owner", (), given)
                learning_rates(owner).scale(Scale(0.5), None, None)

    rates: list[float] = []
    halve = True
    more = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4, "callbacks": [Halve()]}
    fit(folder, vit(), pictures(), **more)
    first = ACCOUNT.facts(rates=list(rates))
    rates.clear()
    halve = False
    fit(folder, vit(), pictures(), resume=str(folder / "checkpoint-4"), **more)
    return {**ACCOUNT.facts(rates=list(rates)), "first": first}


def failing(folder: Path) -> dict[str, Any]:
    class Fails(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if state.global_step == 2:
                raise ValueError("bad batch")

    with suppress(ValueError):
        fit(folder, vit(), pictures(), callbacks=[Fails()])
    return ACCOUNT.facts()


def many_ways(folder: Path) -> dict[str, Any]:
    from trainmon_hf_trainer.attach import attach_to_every_trainer

    attach_to_every_trainer()
    arguments = TrainingArguments(
        str(folder), max_steps=2, use_cpu=True, report_to="trainmon", disable_tqdm=True
    )
    trainer = Trainer(vit(), arguments, train_dataset=pictures(), callbacks=[TrainmonCallback()])
    ours = [
        each for each in trainer.callback_handler.callbacks if isinstance(each, TrainmonCallback)
    ]
    trainer.train()
    facts = ACCOUNT.facts(callbacks=len(ours))
    quiet = TrainingArguments(str(folder), max_steps=2, use_cpu=True, disable_tqdm=True)
    Trainer(vit(), quiet, train_dataset=pictures()).train()
    return {**facts, "automatic": ACCOUNT.facts()}


TRAININGS = [
    plain, accumulated, halved, smoothed, compiled, own_loss, regression, stream, segmentation,
    detection, texts, language, resumed, failing, many_ways,
]  # fmt: skip


if __name__ == "__main__":
    main(TRAININGS)
