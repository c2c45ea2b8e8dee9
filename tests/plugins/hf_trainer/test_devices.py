"""Text and boxes on an accelerator are shown, and the training never waits for it.

No accelerator is needed: tensors of the CPU say that they lie on one, and refuse to be read until
they are sent for.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

from transformers.utils import ModelOutput  # noqa: E402 - after the skips

from trainmon.capture import device_batch  # noqa: E402 - as above
from trainmon.capture.framing import FrameWriter  # noqa: E402 - as above
from trainmon.capture.pace import Due  # noqa: E402 - as above
from trainmon.channel import Kind, RelayChannel, TrainerChannel, unpack  # noqa: E402 - as above
from trainmon.events import FrameRequest  # noqa: E402 - as above

WORDS = ["[PAD]", "[UNK]", "the", "cat", "sat", "on", "a", "mat"]
REQUEST = FrameRequest(max_samples=16, tile_size=32)
#: What makes a host wait for a device, as torch names it.
WAITS = frozenset({
    "item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero",
    "__contains__", "__array__", "masked_select", "unique", "equal", "allclose",
})  # fmt: skip


class Far(torch.Tensor):  # type: ignore[misc] # torch is not looked into
    """A tensor that says it lies on an accelerator."""

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in WAITS:
            raise AssertionError(f"{name} would wait for the device")
        if name == "__get__" and function.__self__ is torch.Tensor.device:
            return torch.device("cuda")
        if name == "__getitem__" and _looks_for_rows(arguments[1]):
            raise AssertionError(f"indexing with {arguments[1]!r} would wait for the device")
        return super().__torch_function__(function, types, arguments, named or {})


def _looks_for_rows(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    # A list travels to the device first; a mask is counted there before anything can go on.
    return any(
        isinstance(part, list) or getattr(part, "dtype", None) is torch.bool for part in parts
    )


def far(value: Any) -> Any:
    """Return a tensor on the accelerator."""
    return torch.as_tensor(value).as_subclass(Far)


class Sent:
    """Tensors that have arrived."""

    def __init__(self, tensors: Any) -> None:
        self._arrived = [each.as_subclass(torch.Tensor).numpy().copy() for each in tensors]

    def ready(self) -> bool:
        return True

    def arrays(self) -> Any:
        return self._arrived


Show = Callable[..., dict[str, Any]]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    """Take one step of a batch on an accelerator, and return what the relay gets of it."""
    from trainmon_hf_trainer.capture import Choice, Sampler

    monkeypatch.setattr(device_batch, "fetch", Sent)
    monkeypatch.setattr(device_batch, "_index", lambda rows, _: torch.tensor(rows.tolist()))
    channel = TrainerChannel.create(1 << 16)
    ends = RelayChannel.attach(os.dup(channel.memory.descriptor), channel.record_bytes)
    problems: list[Any] = []
    frames = FrameWriter(channel, None, lambda *told: problems.append(told))

    def take(trainer: Any, inputs: dict[str, Any], output: Any) -> dict[str, Any]:
        notes: list[str] = []
        captured = Sampler(trainer, Choice(), notes.append).begin(inputs, REQUEST)
        captured.sampler.forwarded(captured, inputs, output)
        batch = captured.samples()
        assert batch is not None, notes
        assert device_batch.lies_on_device(batch)
        assert frames.begin(Due(live=True, key_frame=False), 0)
        sent = frames.send_for(batch, REQUEST)
        assert sent is not None
        fields = {"global_step": 7, "loss": None}
        frames.add(sent.landed(), fields, REQUEST, 2 * 10**9, 0, sent.rows)
        assert problems == []
        payload = ends.records.read()
        assert payload is not None
        kind, record = unpack(payload)
        assert kind is Kind.FRAME
        found = ends.slots.arrays(record["slot"], record["arrays"])
        return {**record, **{role: np.array(array) for role, array in found.items()}}

    yield take
    frames.close()
    gc.collect()  # views of the memory that is given back
    ends.close()
    channel.close()


class Words:
    """A tokenizer of eight words."""

    all_special_ids = (0,)

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return " ".join(WORDS[each] for each in ids if each or not skip_special_tokens)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [WORDS[each] for each in ids]


def trainer_of(kind: str, **config: Any) -> Any:
    """Return what is asked of a Trainer, with a model of some kind."""
    model = type(kind, (), {"config": SimpleNamespace(**config)})()
    return SimpleNamespace(model=model, processing_class=Words(), label_names=["labels"])


def test_classified_texts(show: Show) -> None:
    """Sixteen of the texts arrive, with logits and truth of the same rows."""
    ids = torch.arange(20 * 3).reshape(20, 3) % 6 + 2
    logits = torch.arange(20.0 * 3).reshape(20, 3)
    inputs = {"input_ids": far(ids), "labels": far(torch.arange(20))}
    found = show(trainer_of("Classifier"), inputs, ModelOutput(logits=far(logits)))
    rows = found["targets"]
    assert len(set(rows.tolist())) == 16
    np.testing.assert_array_equal(found["outputs"], logits.numpy()[rows])
    assert found["texts"] == [" ".join(WORDS[each] for each in ids[row]) for row in rows]


def test_a_language_model(show: Show) -> None:
    """One sequence arrives, each token with its loss."""
    ids = torch.tensor([[2, 3, 4, 5, 6, 7]] * 4)
    logits = torch.zeros(4, 6, len(WORDS))
    inputs = {"input_ids": far(ids), "labels": far(ids)}
    found = show(trainer_of("TinyForCausalLM"), inputs, ModelOutput(logits=far(logits)))
    assert found["texts"] == ["the cat sat on a mat"]
    assert found["tokens"] == [WORDS[2:]]
    losses = found["token_losses"][0]
    assert np.isnan(losses[0])
    np.testing.assert_allclose(losses[1:6], np.log(len(WORDS)), rtol=1e-6)


def test_tags_of_tokens(show: Show) -> None:
    """Words arrive with the tags that are true and those that the model says."""
    ids, tags = torch.tensor([[2, 3, 4, 0]] * 4), torch.tensor([[0, 1, -100, -100]] * 4)
    logits = torch.zeros(4, 4, 2)
    logits[..., 0] = 1
    trainer = trainer_of("TinyForTokenClassification", id2label={0: "THE", 1: "BEAST"})
    inputs = {"input_ids": far(ids), "labels": far(tags)}
    found = show(trainer, inputs, ModelOutput(logits=far(logits)))
    assert found["target_texts"] == ["the/THE catsat/BEAST"]
    assert found["output_texts"] == ["the/THE catsat/THE"]


def test_sequence_to_sequence(show: Show) -> None:
    """What was to be said and what the model would say arrive, with the text."""
    ids, asked = torch.tensor([[2, 3, 4]] * 4), torch.tensor([[6, 7, -100, -100]] * 4)
    logits = torch.zeros(4, 4, len(WORDS))
    logits[..., 5] = 1
    trainer = trainer_of("TinyForConditionalGeneration", is_encoder_decoder=True)
    inputs = {"input_ids": far(ids), "labels": far(asked)}
    found = show(trainer, inputs, ModelOutput(logits=far(logits)))
    assert found["texts"] == ["the cat sat"]
    assert found["target_texts"] == ["a mat"]
    assert found["output_texts"] == ["on on"]


def test_answers_pointed_out(show: Show) -> None:
    """The words between two places arrive, true and said."""
    ids = torch.tensor([[2, 3, 4, 5]] * 4)
    ends = {"start_positions": far([1] * 4), "end_positions": far([2] * 4)}
    places = {
        "start_logits": far(torch.tensor([[0.0, 0, 1, 0]] * 4)),
        "end_logits": far(torch.tensor([[0.0, 0, 0, 1]] * 4)),
    }
    found = show(trainer_of("Answers"), {"input_ids": far(ids), **ends}, ModelOutput(**places))
    assert found["target_texts"] == ["cat sat"] * 4
    assert found["output_texts"] == ["sat on"] * 4


def test_large_batches_of_pictures(show: Show) -> None:
    """Of logits too large to keep, and of pictures that models change, some rows are taken."""
    pixels = torch.arange(20.0).reshape(20, 1, 1, 1).expand(20, 1, 8, 8).contiguous()
    logits = torch.zeros(20, 20_000)
    logits[torch.arange(20), torch.arange(20)] = 1
    inputs = {"pixel_values": far(pixels), "labels": far(torch.arange(20))}
    found = show(trainer_of("Classifier"), inputs, ModelOutput(logits=far(logits)))
    rows = found["targets"]
    assert len(set(rows.tolist())) == 16
    np.testing.assert_array_equal(found["outputs"].argmax(-1), rows)
    np.testing.assert_array_equal(found["images"][:, 0, 0, 0], rows)


@pytest.mark.parametrize(
    "read",
    [
        lambda tensor: tensor[0].item(),
        lambda tensor: tensor[[0, 1]],
        lambda tensor: tensor[tensor > 1],
        lambda tensor: float(tensor[0]),
        lambda tensor: [*map(int, tensor)],
        np.asarray,
    ],
)
def test_the_stand_in_refuses_to_be_read(read: Callable[[Any], Any]) -> None:
    """What would wait for a device fails here, so that the tests above would see it."""
    with pytest.raises(AssertionError, match="would wait for the device"):
        read(far([1.0, 2.0]))


@pytest.mark.parametrize("sizes", [True, False])
def test_boxes(show: Show, sizes: bool) -> None:
    """True and predicted boxes arrive, in pixels; those that are not sure do not."""
    truth = [
        {
            "class_labels": far([1] * (row % 3)),
            "boxes": far(torch.tensor([[0.5, 0.5, 1.0, 0.5]] * (row % 3)).reshape(-1, 4)),
            **({"size": far([8, 4])} if sizes else {}),
        }
        for row in range(4)
    ]
    logits = torch.tensor([[0.0, 9, 0], [0, 0, 9]]).expand(4, 2, 3)
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.25], [0.5, 0.5, 1.0, 1.0]]).expand(4, 2, 4)
    inputs = {"pixel_values": far(torch.zeros(4, 3, 8, 8)), "labels": truth}
    output = ModelOutput(logits=far(logits), pred_boxes=far(boxes))
    found = show(trainer_of("Detector", num_labels=2), inputs, output)
    width = 4 if sizes else 8
    assert found["output_boxes"][0, 0, :5].tolist() == [width / 4, 3, width * 3 / 4, 5, 1]
    assert np.isnan(found["output_boxes"][0, 1, :4]).all()
    counts = np.isfinite(found["target_boxes"][:, :, 0]).sum(axis=1)
    assert counts.tolist() == [0, 1, 2, 0]
    assert found["target_boxes"][1, 0, :5].tolist() == [0, 2, width, 6, 1]
