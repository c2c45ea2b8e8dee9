"""Small trainings, as people's scripts have them; each says what a session was told of it.

``python trainings.py FOLDER`` writes FOLDER/facts.json, by the name of the training.
"""

# ruff: noqa: D103 - the name of a training says what it is

from __future__ import annotations

import copy
import json
import pickle
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from account import Account
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from models import (
    LABELS,
    PICTURES,
    ByNewton,
    Classifier,
    Gan,
    Named,
    OneStep,
    Stream,
    line,
    loader,
    trainer,
)
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as people write it
from torch.utils.data import ConcatDataset, DataLoader, Subset
from trainmon_lightning import TrainmonCallback

from trainmon.events import ControlCommand, ControlKind

ACCOUNT = Account()


class Real(pl.Callback):
    """The losses as Lightning's own callbacks see them."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Any, _: Any, outputs: Any, *__: Any) -> None:
        self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)


def fit(folder: Path, module: Any, data: Any = None, validation: Any = None, **more: Any) -> Any:
    """Train with a callback by hand; return what it told."""
    given = more.pop("given", {})
    real = Real()
    callbacks = [real, *more.pop("callbacks", ()), TrainmonCallback(**given)]
    trainer(folder, callbacks, **more).fit(module, loader() if data is None else data, validation)
    return ACCOUNT.facts(real=real.losses)


def by_loss(folder: Path, net: nn.Module, loss: Any, *data: Any) -> Any:
    """Train a net with a loss of predictions and truth."""
    step = OneStep(net, lambda net, batch: loss(net(batch[0]), batch[1]))
    return fit(folder, step, loader(*data))


def plain(folder: Path) -> Any:
    module = Classifier()
    facts = fit(folder, module, validation=loader())
    hooks = sum(len(each._forward_hooks) for each in module.modules())
    return {**facts, "hooks": hooks, "loss_is_torchs": F.cross_entropy.__module__}


def accumulated(folder: Path) -> Any:
    return fit(folder, Classifier(), accumulate_grad_batches=2)


def halved(folder: Path) -> Any:
    return fit(folder, Classifier(), precision="bf16-mixed")


def compiled(folder: Path) -> Any:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    module = OneStep(line(3), lambda net, batch: F.cross_entropy(net(batch[0]), batch[1]))
    module.net.compile(backend="eager")
    facts = fit(folder, module, max_epochs=3)
    return {**facts, "graphs": torch._dynamo.utils.counters["stats"]["unique_graphs"]}


def gan(folder: Path) -> Any:
    trainer(folder, [TrainmonCallback()]).fit(Gan(), loader())
    return ACCOUNT.facts()


def by_newton(folder: Path) -> Any:
    return fit(folder, ByNewton())


def stream(folder: Path) -> Any:
    return fit(folder, Classifier(), DataLoader(Stream(), batch_size=4))


def workers(folder: Path) -> Any:
    return fit(folder, Classifier(), DataLoader(loader().dataset, batch_size=4, num_workers=1))


def named(folder: Path) -> Any:
    def step(net: Any, batch: Any) -> Any:
        return F.cross_entropy(net(batch["image"]), batch["label"])

    joined = Subset(ConcatDataset([Named()]), range(12))  # as splits of two sets are
    return fit(folder, OneStep(line(3), step), DataLoader(joined, batch_size=4))


def returned(folder: Path) -> Any:
    def step(net: Any, batch: Any) -> Any:
        logits = net(batch[0])
        return {"loss": logits.square().mean(), "logits": logits}

    return fit(folder, OneStep(line(3), step))


def told(folder: Path) -> Any:
    def step(net: Any, batch: Any) -> Any:
        return net(batch["a"]["b"]).square().mean()

    data = [{"a": {"b": picture}, "c": 1, "d": 2} for picture in PICTURES]
    given = {"images": "a.b", "targets": "d", "outputs": "net", "class_names": "abc"}
    return fit(folder, OneStep(line(3), step), DataLoader(data, batch_size=4), given=given)


def channels_last(folder: Path) -> Any:
    pictures = PICTURES.permute(0, 2, 3, 1).repeat(1, 1, 1, 3)
    return by_loss(folder, line(3, 192), F.cross_entropy, pictures, LABELS)


def many_classes(folder: Path) -> Any:
    """More outputs than fit into 64 KiB, as of ImageNet's classes."""
    data = PICTURES.repeat(4, 1, 1, 1), LABELS.repeat(4)
    step = OneStep(line(1000), lambda net, batch: F.cross_entropy(net(batch[0]), batch[1]))
    return fit(folder, step, loader(*data, size=48))


def scaled(folder: Path) -> Any:
    """Float16 with a gradient scaler, as on a GPU."""
    scaler = torch.amp.GradScaler("cpu")
    precision = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
    return fit(folder, Classifier(), plugins=[precision])


def normalised(folder: Path) -> Any:
    """Names and normalisation of a data module and of the line."""

    class Data(pl.LightningDataModule):
        class_names = ("zero", "one", "two")

        def train_dataloader(self) -> Any:
            return loader((PICTURES - 0.5) / 0.25, LABELS)

    given = {"normalization": {"mean": [0.5], "std": [0.25]}}
    return fit(folder, Classifier(), Data(), given=given)


def one_hot(folder: Path) -> Any:
    truth = F.one_hot(LABELS, 3).float()
    return by_loss(folder, line(3), nn.CrossEntropyLoss(), PICTURES, truth)


def binary(folder: Path) -> Any:
    truth = (LABELS > 0).float()
    loss = nn.BCEWithLogitsLoss()
    return by_loss(folder, line(1), lambda given, truth: loss(given[:, 0], truth), PICTURES, truth)


def multi_label(folder: Path) -> Any:
    truth = (torch.rand(12, 3) > 0.5).float()
    return by_loss(folder, line(3), F.binary_cross_entropy_with_logits, PICTURES, truth)


def regression(folder: Path) -> Any:
    return by_loss(folder, line(1), F.mse_loss, PICTURES, torch.rand(12, 1))


def segmentation(folder: Path) -> Any:
    masks = torch.randint(0, 3, (12, 8, 8))
    return by_loss(folder, nn.Conv2d(1, 3, 1), F.cross_entropy, PICTURES, masks)


def detection(folder: Path) -> Any:
    def collate(rows: Any) -> Any:
        truth = [{"boxes": torch.tensor([[1.0, 1, 4, 5]]), "labels": torch.tensor([label])}
                 for _, label in rows]  # fmt: skip
        return [picture[:, : 6 + index] for index, (picture, _) in enumerate(rows)], truth

    def step(net: Any, batch: Any) -> Any:
        return sum(net(picture[None, :, :6]).square().mean() for picture in batch[0])

    data = DataLoader(loader().dataset, batch_size=2, collate_fn=collate)
    return fit(folder, OneStep(line(3, 48), step), data)


def autoencoder(folder: Path) -> Any:
    module = OneStep(nn.Identity(), None)
    module.encoder, module.decoder = line(3), nn.Linear(3, 64)

    def step(_: Any, batch: Any) -> Any:
        flat = batch[0].flatten(1)
        return F.mse_loss(flat, module.decoder(module.encoder(batch[0])))

    module.step = step
    return fit(folder, module)


def embedding(folder: Path) -> Any:
    step = OneStep(line(5), lambda net, batch: net(batch["image"]).square().mean())
    return fit(folder, step, DataLoader(Named(), batch_size=4))


def tokens(folder: Path) -> Any:
    class Words:
        """Makes words of numbers, as tokenizers do."""

        def decode(self, ids: list[int]) -> str:
            return " ".join(f"w{each}" for each in ids)

    def step(net: Any, batch: Any) -> Any:
        return F.cross_entropy(net(batch["input_ids"].float()), batch["labels"])

    module = OneStep(nn.Linear(4, 3), step)
    module.tokenizer = Words()
    rows = [{"input_ids": torch.arange(4) + n, "attention_mask": torch.ones(4).long(),
             "labels": LABELS[n]} for n in range(12)]  # fmt: skip
    return fit(folder, module, DataLoader(rows, batch_size=4))


def told_texts(folder: Path) -> Any:
    given = {"texts": lambda batch: [f"row {float(row[0]):.0f}" for row in batch[0]]}
    step = OneStep(nn.Linear(2, 1), lambda net, batch: net(batch[0]).square().mean())
    return fit(folder, step, loader(torch.arange(24.0).view(12, 2)), given=given)


def objections(folder: Path) -> Any:
    class Ask(pl.Callback):
        """Asks what stands against some commands, which changes nothing."""

        def on_train_batch_end(self, *_: Any) -> None:
            session = ours.session
            for kind, value in (("evaluate", None), ("adjust_learning_rate", -1.0)):
                command = ControlCommand("1", ControlKind(kind), value=value)
                told[kind] = session._manager.check_control("lightning", session, command)

    told: dict[str, str] = {}
    ours = TrainmonCallback()
    trainer(folder, [ours, Ask()]).fit(Classifier(), loader())
    return ACCOUNT.facts(told=told)


def table(folder: Path) -> Any:
    return by_loss(folder, nn.Linear(5, 1), F.mse_loss, torch.rand(12, 5), torch.rand(12, 1))


def early_stopping(folder: Path) -> Any:
    early = EarlyStopping("val_loss", patience=1, min_delta=1e6)
    return fit(
        folder, Classifier(), validation=loader(), callbacks=[early], max_epochs=9,
        min_epochs=2,
    )  # fmt: skip


def stopped(folder: Path) -> Any:
    class Stop(pl.Callback):
        """Asks for an end at the first batch."""

        def on_train_batch_start(self, *_: Any) -> None:
            callback.session._controls.stop = ControlCommand("1", ControlKind.STOP, "somebody")

    callback = TrainmonCallback()
    settings = {"max_epochs": 9, "min_epochs": 2}
    trainer(folder, [callback, Stop()], **settings).fit(Classifier(), loader())
    return ACCOUNT.facts()


def wrongly_told(folder: Path) -> Any:
    return fit(folder, Classifier(), given={"images": "nowhere"})


def several_validations(folder: Path) -> Any:
    return fit(folder, Classifier(), validation=loader(), val_check_interval=1, max_epochs=2)


def fitted_twice(folder: Path) -> Any:
    module, callback = Classifier(), TrainmonCallback()
    again = trainer(folder, [callback])
    again.fit(module, loader())
    again.fit_loop.max_epochs = 2
    again.fit(module, loader())
    return ACCOUNT.facts()


def resumed(folder: Path) -> Any:
    class Turn(pl.Callback):
        """Asks for another learning rate, and saves."""

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 2:
                session = ours.session
                command = ControlCommand("1", ControlKind.ADJUST_LEARNING_RATE, factor=0.25)
                session._manager.apply_control("lightning", session, command)

    ours = TrainmonCallback()
    keep = ModelCheckpoint(dirpath=folder, filename="kept", every_n_train_steps=4)
    callbacks = [ours, Turn(), keep]
    trainer(folder, callbacks, max_epochs=3, enable_checkpointing=True).fit(Classifier(), loader())
    first = ACCOUNT.facts()
    again = trainer(folder, [TrainmonCallback()], max_epochs=3)
    again.fit(Classifier(), loader(), ckpt_path=folder / "kept.ckpt")
    # Older ones train the batch once more in whose end the checkpoint was written.
    repeats = not hasattr(again.fit_loop.epoch_loop, "restarted_on_train_batch_end")
    return {**ACCOUNT.facts(), "first": first, "goes_on_at": 7 if repeats else 8}


def pickled(folder: Path) -> Any:
    class Holder(OneStep):
        """Keeps its net and its loss among its hyperparameters, as many templates do."""

        def __init__(self, net: nn.Module, loss: Any) -> None:
            super().__init__(net, lambda net, batch: self.hparams.loss(net(batch[0]), batch[1]))
            self.save_hyperparameters(ignore=["step"])

    class Keep(pl.Callback):
        """Copies and saves in the midst of a step, and at the end."""

        def on_before_optimizer_step(self, trainer: Any, module: Any, _: Any) -> None:
            trainer.save_checkpoint(folder / "kept.ckpt")
            copies.append(copy.deepcopy(module.net))

        def on_train_end(self, trainer: Any, module: Any) -> None:
            hooks.append(len(module.net._forward_hooks))

    copies: list[Any] = []
    hooks: list[int] = []
    wide = nn.Sequential(*line(3), *(nn.Identity() for _ in range(40)))
    ours = TrainmonCallback()
    trainer(folder, [ours, Keep()]).fit(Holder(wide, F.cross_entropy), loader())
    kept = torch.load(folder / "kept.ckpt", weights_only=False)["hyper_parameters"]
    answers = [each(PICTURES).shape == (12, 3) for each in (*copies, kept["net"])]
    names_us = b"trainmon_lightning" in (folder / "kept.ckpt").read_bytes()
    return ACCOUNT.facts(answers=answers, names_us=names_us, hooks=hooks)


def failing(folder: Path) -> Any:
    def step(net: Any, batch: Any) -> Any:
        raise ValueError("bad batch")

    try:
        fit(folder, OneStep(line(3), step))
    except ValueError:
        return ACCOUNT.facts()
    raise AssertionError("nothing was raised")


def interrupted(folder: Path) -> Any:
    def step(net: Any, batch: Any) -> Any:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        return fit(folder, OneStep(line(3), step))  # as older ones do
    except SystemExit:  # Lightning's own answer
        return ACCOUNT.facts()
    finally:
        signal.signal(signal.SIGINT, handler)


def many_ways(folder: Path) -> Any:
    both = trainer(folder, [TrainmonCallback(name="by hand")])
    ours = [each for each in both.callbacks if isinstance(each, TrainmonCallback)]
    both.fit(Classifier(), loader())
    facts = ACCOUNT.facts(callbacks=len(ours))
    trainer(folder).fit(Classifier(), loader())
    return {**facts, "automatic": ACCOUNT.facts()}


def only_tested(folder: Path) -> Any:
    class Tested(Classifier):
        test_step = Classifier.validation_step

    quiet = trainer(folder, [TrainmonCallback()])
    quiet.test(Tested(), loader(), verbose=False)
    quiet.validate(Classifier(), loader(), verbose=False)

    class Predicting(Classifier):
        def predict_step(self, batch: Any, index: int) -> Any:
            return self(batch[0])

    assert len(quiet.predict(Predicting(), loader())) == 3
    return ACCOUNT.facts()


def copied(folder: Path) -> Any:
    callback = TrainmonCallback("a name", class_names=["a"])
    again = pickle.loads(pickle.dumps(copy.deepcopy(callback)))
    kinds = [isinstance(again, kind) for kind in (TrainmonCallback, pl.Callback)]
    trainer(folder, [again]).fit(Classifier(), loader())
    return ACCOUNT.facts(kinds=kinds)


def knobs(folder: Path) -> Any:
    module, seen = Classifier(), []
    callback = TrainmonCallback(controls={"dropout": "net.3.p", "mine": seen.append})

    class Turn(pl.Callback):
        """Turns every knob."""

        def on_train_batch_end(self, *_: Any) -> None:
            for name, knob in list(callback.session._controls.knobs.items()):
                knob.set({"dropout": 0.5, "accumulate_grad_batches": 2}.get(name, 1.0))

    with_knobs = trainer(folder, [callback, Turn()])
    with_knobs.fit(module, loader())
    turned = [module.net[3].p, seen[0], with_knobs.gradient_clip_val]
    return ACCOUNT.facts(turned=[*turned, with_knobs.accumulate_grad_batches])


TRAININGS = [
    plain, accumulated, halved, compiled, gan, by_newton, stream, workers, named, returned, told,
    channels_last, many_classes, scaled, normalised, one_hot, binary, multi_label, regression,
    segmentation, detection, table,
    autoencoder, embedding, tokens, told_texts, objections,
    early_stopping, stopped, wrongly_told, several_validations, fitted_twice, resumed, pickled,
    failing, interrupted, many_ways, only_tested, copied, knobs,
]  # fmt: skip


def main() -> None:
    """Run every training."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ACCOUNT.listen()
    facts: dict[str, Any] = {}
    chosen = [each for each in TRAININGS if each.__name__ in sys.argv[2:]] or TRAININGS
    for training in chosen:
        folder = Path(sys.argv[1]) / training.__name__
        pl.seed_everything(1)
        try:
            facts[training.__name__] = training(folder)
        except BaseException:  # noqa: BLE001 - told with the facts, the others go on
            facts[training.__name__] = {"error": traceback.format_exc(), **ACCOUNT.facts()}
    (Path(sys.argv[1]) / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
