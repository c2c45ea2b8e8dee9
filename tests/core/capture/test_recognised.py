"""Batches of a kind that was read before: read as any other, and only where that is sure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trainmon.capture.framing import FrameWriter
from trainmon.capture.pace import Due
from trainmon.capture.sparse import SparseArray
from trainmon.channel import Kind
from trainmon.events import BatchEvent, FrameRequest

LIVE = Due(live=True, key_frame=False)
STEP = {"global_step": 5, "epoch": 0, "batch_index": 5, "time_ms": 1.0, "loss": 2.0}
REQUEST = FrameRequest(max_samples=16, tile_size=32)
LATER_NS = 2 * 10**9


def unexpected(role: str, error: Exception) -> None:
    """Fail for what a batch is told to be of no use for."""
    raise AssertionError(f"{role}: {error}") from error


class Writer:
    """A frame writer that chooses the same samples each time."""

    def __init__(self, ends: Any, problem: Any = unexpected) -> None:
        self.ends = ends
        self.frames = FrameWriter(ends.trainer, None, problem)

    def show(
        self, batch: BatchEvent, request: FrameRequest = REQUEST, *, free: bool = True
    ) -> tuple[bool, Any, Any]:
        """Return whether a batch is recognised, and what the relay finds of it."""
        self.frames._random = np.random.default_rng(7)
        recipe = self.frames.recognise(batch, request)
        assert self.frames.begin(LIVE, 0)
        assert self.frames.add(batch, STEP, request, LATER_NS, recipe=recipe)
        (record,) = self.ends.of(Kind.FRAME)
        slots = self.ends.relay.slots
        found = {
            role: array.copy()
            for role, array in slots.arrays(record["slot"], record["arrays"]).items()
        }
        if free:
            slots.free(record["slot"])
        return recipe is not None, record, found


def pictures(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    """Return noise."""
    return np.random.default_rng().integers(0, 255, shape).astype(dtype)


def batch(images: Any, count: int | None = None, **more: Any) -> BatchEvent:
    """Return pictures with outputs and targets."""
    size = len(images) if count is None else count
    outputs = np.random.default_rng().random((size, 10), np.float32)
    return BatchEvent(images=images, outputs=outputs, targets=np.arange(size) % 10, **more)


KINDS = {
    "channels last": lambda: batch(pictures(64, 40, 48, 3)),
    "channels first": lambda: batch(pictures(64, 3, 40, 48)),
    "channels first by their shape": lambda: batch(
        pictures(20, 40, 48, 3, dtype=np.float32).transpose(0, 3, 1, 2)
    ),
    "of edges as long as there are channels": lambda: batch(
        pictures(20, 4, 4, 4).transpose(0, 3, 1, 2)
    ),
    "larger than a tile": lambda: batch(pictures(16, 130, 90, 3)),
    "grey": lambda: batch(pictures(17, 28, 28)),
    "few": lambda: batch(pictures(5, 28, 28, 1)),
    "with gaps": lambda: batch(pictures(40, 28, 28)[::2]),
    "of a batch that has more": lambda: batch(pictures(20, 28, 28), batch_size=64),
    "numbers alone": lambda: BatchEvent(outputs=np.random.rand(32), targets=np.random.rand(32)),
    "with large outputs": lambda: BatchEvent(
        images=pictures(64, 8, 8), outputs=np.random.rand(64, 2000), targets=np.arange(64)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_is_recognised_is_read_as_any_other(ends, kind: str) -> None:
    """Samples, layout and whole batches alike."""
    writer, make = Writer(ends), KINDS[kind]
    assert not writer.show(make())[0]
    again = make()
    known, record, found = writer.show(again)
    assert known
    _, wanted, arrays = Writer(ends).show(again)
    assert {**record, "slot": 0} == {**wanted, "slot": 0}
    assert found.keys() == arrays.keys()
    for role, array in arrays.items():
        np.testing.assert_array_equal(found[role], array)


@pytest.mark.parametrize("layout", ["contiguous_format", "channels_last"])
def test_tensors_are_recognised(ends, layout: str) -> None:
    """Those that need gradients, too."""
    torch = pytest.importorskip("torch")

    def make() -> BatchEvent:
        images = torch.rand(20, 3, 40, 48).contiguous(memory_format=getattr(torch, layout))
        outputs = torch.rand(20, 10, requires_grad=True)
        return BatchEvent(images=images, outputs=outputs, targets=torch.arange(20))

    writer = Writer(ends)
    writer.show(make())
    again = make()
    known, _, found = writer.show(again)
    assert known
    assert found["images"].shape[1:] in ((3, 40, 48), (40, 48, 3))
    rows = found["sample_indices"]
    taken = again.images.permute(0, 2, 3, 1) if layout == "channels_last" else again.images
    np.testing.assert_array_equal(found["images"], taken[rows].numpy())
    np.testing.assert_array_equal(found["batch_outputs"], again.outputs.detach().numpy())


@pytest.mark.parametrize("package", ["torch", "ml_dtypes"])
def test_a_type_that_numpy_does_not_know_is_read_anew(ends, package: str) -> None:
    """A bfloat16 array has to be widened, and a small one is as if it had come as float32."""
    known = pytest.importorskip(package)
    images, targets = np.random.default_rng().random((16, 4, 4, 4), np.float32), np.arange(16)
    if package == "torch":
        narrow, targets = known.from_numpy(images).bfloat16(), known.from_numpy(targets)
    else:
        narrow = images.astype(known.bfloat16)
    writer = Writer(ends)
    for _ in range(2):
        recognised, _, found = writer.show(BatchEvent(images=narrow, targets=targets))
        assert not recognised
        np.testing.assert_array_equal(found["targets"], np.arange(16))
        np.testing.assert_allclose(found["images"], images, rtol=0.01)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_is_no_plain_array_spoils_only_itself(ends) -> None:
    """A nested tensor has no shape, and one within torch.func no memory; the rest is shown."""
    torch = pytest.importorskip("torch")
    problems: list[str] = []
    writer = Writer(ends, lambda role, _: problems.append(role))
    plain = BatchEvent(images=torch.rand(16, 3, 8, 8), outputs=torch.rand(16, 10))
    ragged = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    shown = writer.show(replace(plain, targets=ragged))
    assert (shown[0], problems.pop()) == (False, "targets")
    writer.show(plain)

    def loss(outputs: Any) -> Any:
        shown = replace(plain, outputs=outputs)
        recipe = writer.frames.recognise(shown, REQUEST)
        assert recipe is not None  # it looks like any other
        assert writer.frames.begin(LIVE, 0)
        assert not writer.frames.add(shown, STEP, REQUEST, LATER_NS, recipe=recipe)
        return outputs.sum()

    torch.func.grad(loss)(plain.outputs)
    assert set(problems) == {"images", "outputs"}  # told, and not raised
    assert writer.show(plain)[0]


def test_a_size_that_may_be_on_a_device_is_not_taken_for_known(ends) -> None:
    """To be shown, it may have to be sent for."""
    writer = Writer(ends)
    images = pictures(16, 28, 28)
    writer.show(batch(images, batch_size=16))
    assert writer.show(batch(images, batch_size=16))[0]
    assert not writer.show(batch(images, batch_size=np.int64(16)))[0]


def test_a_kind_is_known_whatever_slot_its_picture_goes_to(ends) -> None:
    """Where its arrays go in a slot is planned by what is known of it."""
    writer = Writer(ends)
    for turn in range(3):
        known, record, found = writer.show(batch(pictures(20, 28, 28)), free=False)
        assert (known, record["slot"]) == (turn > 0, turn)
        np.testing.assert_array_equal(found["targets"], found["sample_indices"] % 10)


def test_gathered_batches_are_recognised(ends) -> None:
    """Four of five samples make one frame of sixteen."""
    writer = Writer(ends)
    for turn in range(2):
        assert writer.frames.begin(LIVE, 0)
        handed = []
        for step in range(4):
            samples = batch(pictures(5, 28, 28))
            recipe = writer.frames.recognise(samples, REQUEST)
            assert (recipe is not None) == (turn > 0 or step > 0)
            told = {**STEP, "global_step": step}
            handed.append(writer.frames.add(samples, told, REQUEST, 1, recipe=recipe))
        assert handed == [False, False, False, True]
        (record,) = ends.of(Kind.FRAME)
        found = ends.relay.slots.arrays(record["slot"], record["arrays"])
        assert found["sample_steps"].tolist() == [*[0] * 5, *[1] * 5, *[2] * 5, 3]
        ends.relay.slots.free(record["slot"])


OTHERS = {
    "another size": lambda: batch(pictures(64, 40, 49, 3)),
    "another count": lambda: batch(pictures(63, 40, 48, 3)),
    "another type": lambda: batch(pictures(64, 40, 48, 3, dtype=np.int16)),
    "lying otherwise": lambda: batch(pictures(64, 48, 40, 3).transpose(0, 2, 1, 3)),
    "a list": lambda: batch(list(pictures(64, 40, 48, 3))),
    "with texts": lambda: batch(pictures(64, 40, 48, 3), texts=["words"] * 64),
    "with losses": lambda: batch(pictures(64, 40, 48, 3), sample_losses=np.ones(64)),
    "of a class of its own": lambda: batch(pictures(64, 40, 48, 3).view(np.recarray)),
    "rows of what arrived": lambda: batch(
        SparseArray(64, np.arange(16), pictures(16, 40, 48, 3)), 64
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_of_another_kind_is_read_anew(ends, other: str) -> None:
    """Also by who knows the kind next to it."""
    writer = Writer(ends)
    writer.show(KINDS["channels last"]())
    assert writer.show(batch(pictures(64, 40, 48, 3)))[0]
    assert writer.frames.recognise(OTHERS[other](), REQUEST) is None
    larger = FrameRequest(max_samples=16, tile_size=64)
    assert writer.frames.recognise(batch(pictures(64, 40, 48, 3)), larger) is None


def test_maps_are_told_by_their_values_each_time(ends) -> None:
    """Class indices of every pixel are a map, other numbers of that shape are none."""
    writer = Writer(ends)
    images = pictures(16, 40, 48)

    def maps(values: np.ndarray) -> Any:
        shown = BatchEvent(images=images, outputs=np.random.rand(16, 3, 40, 48), targets=values)
        return writer.show(shown)[1].get("maps")

    indices = np.random.default_rng().integers(0, 3, (16, 40, 48)).astype(float)
    assert maps(indices) == {"targets": 0, "outputs": 1}
    assert maps(indices + 0.5) is None
    assert maps(indices) == {"targets": 0, "outputs": 1}


def test_few_kinds_are_remembered(ends) -> None:
    """A loop whose pictures are of ever other sizes holds no memory for it."""
    writer = Writer(ends)
    for edge in range(8, 58):
        writer.show(batch(pictures(16, edge, edge)))
    assert len(writer.frames._recognised._recipes) <= 16
