"""Further habits of people's scripts: other tasks, other losses, and what is changed in mid-run.

``python habits.py FOLDER`` writes FOLDER/facts.json, by the name of the training.
"""

# ruff: noqa: D103 - the name of a training says what it is

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from account import ACCOUNT, AtStep, main
from models import WORDS, fit, pictures, tokenizer, vit
from trainmon_hf_trainer import TrainmonCallback
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForTokenClassification,
    DataCollatorForSeq2Seq,
    EarlyStoppingCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    ViTConfig,
    ViTForMaskedImageModeling,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    default_data_collator,
)
from transformers.utils import ModelOutput

SENTENCE = "the cat sat on a mat"
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def bert(**more: Any) -> BertConfig:
    """Return the configuration of a small model of text."""
    return BertConfig(vocab_size=len(WORDS), intermediate_size=16, pad_token_id=0, **SMALL, **more)


def multi_label(folder: Path) -> dict[str, Any]:
    several = np.eye(3, dtype=np.float32) + np.eye(3, k=1, dtype=np.float32)
    data = [{**each, "labels": several[each["labels"]]} for each in pictures()]
    fit(folder, vit(problem_type="multi_label_classification"), data)
    return ACCOUNT.facts()


def seq2seq(folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    words = tokenizer()
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
            decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip
    asked = [words(SENTENCE)["input_ids"], words("a dog ran")["input_ids"]]
    data = [{"input_ids": asked[0], "labels": asked[index % 2]} for index in range(16)]
    fit(
        folder, model, data, kind=Seq2SeqTrainer, arguments=Seq2SeqTrainingArguments,
        data_collator=DataCollatorForSeq2Seq(words, model), processing_class=words,
        eval_dataset=data[:4], eval_strategy="steps", eval_steps=2, predict_with_generate=True,
    )  # fmt: skip
    return ACCOUNT.facts()


def answers(folder: Path) -> dict[str, Any]:
    words = tokenizer()
    ids = words(SENTENCE)["input_ids"]
    data = [{"input_ids": ids, "start_positions": 1, "end_positions": 2} for _ in range(16)]
    fit(folder, BertForQuestionAnswering(bert()), data, processing_class=words)
    return ACCOUNT.facts()


def choices(folder: Path) -> dict[str, Any]:
    words = tokenizer()
    ids = [words(SENTENCE)["input_ids"], words("a dog ran on the mat")["input_ids"]]
    data = [{"input_ids": ids, "labels": index % 2} for index in range(16)]
    fit(folder, BertForMultipleChoice(bert()), data, processing_class=words)
    return ACCOUNT.facts()


def tags(folder: Path) -> dict[str, Any]:
    words = tokenizer()
    ids = words("the cat sat on [PAD]")["input_ids"]
    data = [{"input_ids": ids, "labels": [0, 1, -100, 2, -100]} for _ in range(16)]
    names = {0: "THE", 1: "BEAST", 2: "PLACE"}
    fit(folder, BertForTokenClassification(bert(id2label=names)), data, processing_class=words)
    return ACCOUNT.facts()


def gaps(folder: Path) -> dict[str, Any]:
    words = tokenizer()
    ids = words(SENTENCE)["input_ids"]
    labels = [-100, ids[1], -100, -100, -100, ids[5]]
    data = [{"input_ids": ids, "labels": labels} for _ in range(16)]
    fit(folder, BertForMaskedLM(bert()), data, processing_class=words)
    return ACCOUNT.facts()


def restored(folder: Path) -> dict[str, Any]:
    config = ViTMAEConfig(
        image_size=8, patch_size=4, num_channels=1, intermediate_size=16, decoder_hidden_size=16,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=16,
        **SMALL,
    )  # fmt: skip
    data = [{"pixel_values": each["pixel_values"]} for each in pictures()]
    fit(folder, ViTMAEForPreTraining(config), data, label_names=["pixel_values"])
    return ACCOUNT.facts()


def masked(folder: Path) -> dict[str, Any]:
    config = ViTConfig(
        image_size=8, patch_size=4, num_channels=1, intermediate_size=16, encoder_stride=4, **SMALL
    )
    hidden = torch.tensor([True, False, True, False])
    data = [
        {"pixel_values": each["pixel_values"], "bool_masked_pos": hidden} for each in pictures()
    ]
    fit(folder, ViTForMaskedImageModeling(config), data, label_names=["bool_masked_pos"])
    return ACCOUNT.facts()


class Captioner(torch.nn.Module):
    """Says two words of every picture."""

    def __init__(self) -> None:
        super().__init__()
        self.said = torch.nn.Parameter(torch.zeros(2, len(WORDS)))

    def forward(self, pixel_values: Any, labels: Any) -> Any:
        logits = self.said.expand(len(pixel_values), 2, len(WORDS))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return ModelOutput(loss=loss, logits=logits)


def captions(folder: Path) -> dict[str, Any]:
    words = tokenizer()
    asked = words("the cat")["input_ids"]
    data = [{"pixel_values": each["pixel_values"], "labels": asked} for each in pictures()]
    fit(folder, Captioner(), data, processing_class=words, data_collator=default_data_collator)
    return ACCOUNT.facts()


class SureDetector(torch.nn.Module):
    """Finds one box in every picture, by scores of their own; before it come noised truths."""

    def __init__(self) -> None:
        super().__init__()
        self.config = ViTConfig(num_labels=2)
        self.sure = torch.nn.Parameter(torch.tensor([[9.0, -9.0], [-9.0, 2.0], [-9.0, -9.0]]))

    def forward(self, pixel_values: Any, labels: Any) -> Any:
        logits = self.sure.expand(len(pixel_values), 3, 2)
        boxes = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.5, 0.5, 0.5, 0.25], [0.5, 0.5, 0.1, 0.1]])
        return ModelOutput(
            loss=(self.sure**2).mean(),
            logits=logits,
            pred_boxes=boxes.expand(len(pixel_values), 3, 4),
            denoising_meta_values={"dn_num_split": [1, 2]},
        )


def scored_boxes(folder: Path) -> dict[str, Any]:
    def collate(samples: Any) -> Any:
        truth = {
            "class_labels": torch.tensor([1]),
            "boxes": torch.tensor([[0.5, 0.5, 1.0, 1.0]]),
            "size": torch.tensor([8, 8]),
        }
        pixels = torch.stack([torch.tensor(each["pixel_values"]) for each in samples])
        return {"pixel_values": pixels, "labels": [truth for _ in samples]}

    fit(folder, SureDetector(), pictures(), data_collator=collate, remove_unused_columns=False)
    return ACCOUNT.facts()


class Nested(torch.nn.Module):
    """Takes its pictures within a mapping, and the truth under a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(64, 3)

    def forward(self, views: Any, kind: Any) -> Any:
        logits = self.line(views["left"].flatten(1))
        return {"loss": torch.nn.functional.cross_entropy(logits, kind), "logits": logits}


def _nested(folder: Path, ours: Any) -> dict[str, Any]:
    def collate(samples: Any) -> Any:
        pixels = torch.stack([torch.tensor(each["pixel_values"]) for each in samples])
        kinds = torch.tensor([each["labels"] for each in samples])
        return {"views": {"left": pixels}, "kind": kinds}

    more = {"data_collator": collate, "remove_unused_columns": False, "ours": ours}
    fit(folder, Nested(), pictures(), **more)
    return ACCOUNT.facts()


def nested(folder: Path) -> dict[str, Any]:
    return _nested(folder, None)


def told(folder: Path) -> dict[str, Any]:
    return _nested(folder, TrainmonCallback(images="views.left", truth="kind"))


class Tuples(torch.nn.Module):
    """Returns a tuple, as models do that are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(64, 3)

    def forward(self, pixel_values: Any, labels: Any) -> Any:
        logits = self.line(pixel_values.flatten(1))
        return torch.nn.functional.cross_entropy(logits, labels), logits


def tuples(folder: Path) -> dict[str, Any]:
    fit(folder, Tuples(), pictures())
    return ACCOUNT.facts()


def smoothed(folder: Path) -> dict[str, Any]:
    real: list[float] = []

    class Told(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
            labels = inputs["labels"]
            loss, out = super().compute_loss(model, inputs, True, **named)
            wanted = torch.nn.functional.cross_entropy(out.logits, labels, label_smoothing=0.1)
            real.append(float(wanted))
            return loss

    more = {"label_smoothing_factor": 0.1, "gradient_accumulation_steps": 2}
    fit(folder, vit(), pictures(), kind=Told, **more)
    return ACCOUNT.facts(real=real)


def recomputed(folder: Path) -> dict[str, Any]:
    fit(folder, vit(), pictures(), gradient_checkpointing=True)
    return ACCOUNT.facts()


def workers(folder: Path) -> dict[str, Any]:
    fit(folder, vit(), pictures(), dataloader_num_workers=2)
    return ACCOUNT.facts()


def stream(folder: Path) -> dict[str, Any]:
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            while True:
                yield from pictures()

    fit(folder, vit(), Endless())
    (session,) = ACCOUNT.sessions
    return ACCOUNT.facts(length=[session.info.total_epochs, session.info.batches_per_epoch])


def only_evaluated(folder: Path) -> dict[str, Any]:
    trainer = fit(folder, vit(), pictures(), eval_dataset=pictures()[:8])
    ACCOUNT.forget()
    trainer.evaluate()
    trainer.predict(pictures()[:8])
    return ACCOUNT.facts()


def several(folder: Path) -> dict[str, Any]:
    one, other = vit(), vit()
    keys = []
    for model in (one, other, one):
        before = len(ACCOUNT.sessions)
        fit(folder, model, pictures())
        keys.append(ACCOUNT.sessions[before].info.run_key)
    return ACCOUNT.facts(keys=keys)


def early_stopping(folder: Path) -> dict[str, Any]:
    fit(
        folder, vit(), pictures(), eval_dataset=pictures()[:8], max_steps=50, eval_strategy="steps",
        eval_steps=2, save_strategy="best", load_best_model_at_end=True, learning_rate=0.0,
        metric_for_best_model="loss", callbacks=[EarlyStoppingCallback(2)],
    )  # fmt: skip
    return ACCOUNT.facts()


def interrupted(folder: Path) -> dict[str, Any]:
    press = AtStep(2, lambda _: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        fit(folder, vit(), pictures(), callbacks=[press])
    facts = ACCOUNT.facts()
    fit(folder, vit(), pictures())
    return {**facts, "after": ACCOUNT.facts()}


def intervals(folder: Path) -> dict[str, Any]:
    def turn(_: Any) -> None:
        for name, value in (("eval_steps", 2), ("save_steps", 3), ("logging_steps", 1)):
            ACCOUNT.turn(name, value)

    every = dict.fromkeys(("eval_steps", "save_steps", "logging_steps"), 100)
    trainer = fit(
        folder, vit(), pictures(), eval_dataset=pictures()[:8], max_steps=8, eval_strategy="steps",
        save_strategy="steps", logging_strategy="steps", callbacks=[AtStep(3, turn)], **every,
    )  # fmt: skip
    told = trainer.state.log_history
    return ACCOUNT.facts(
        evaluated=[each["step"] for each in told if "eval_loss" in each],
        logged=[each["step"] for each in told if "loss" in each],
        saved=sorted(each.name for each in folder.glob("checkpoint-*")),
    )


def asked_now(folder: Path) -> dict[str, Any]:
    def turn(_: Any) -> None:
        ACCOUNT.turn("save_checkpoint")
        ACCOUNT.turn("evaluate")

    trainer = fit(
        folder, vit(), pictures(), eval_dataset=pictures()[:8], callbacks=[AtStep(1, turn)]
    )
    told = trainer.state.log_history
    return ACCOUNT.facts(
        evaluated=[each["step"] for each in told if "eval_loss" in each],
        saved=sorted(each.name for each in folder.glob("checkpoint-*")),
    )


def clipped(folder: Path) -> dict[str, Any]:
    norms: list[float] = []

    def before(given: dict[str, Any]) -> None:
        norms.append(given["args"].max_grad_norm)
        ACCOUNT.turn("max_grad_norm", 0.25)

    trainer = fit(folder, vit(), pictures(), callbacks=[AtStep(1, before)])
    return ACCOUNT.facts(norms=[*norms, trainer.args.max_grad_norm])


TRAININGS = [
    multi_label, seq2seq, answers, choices, tags, gaps, restored, masked, captions, scored_boxes,
    nested, told, tuples, smoothed, recomputed, workers, stream, only_evaluated, several,
    early_stopping, interrupted, intervals, asked_now, clipped,
]  # fmt: skip


if __name__ == "__main__":
    main(TRAININGS)
