"""Reading arrays: of any framework, sharing memory, changing nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainmon.capture.arrays import as_numpy, length, scalar


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (2.5, 2.5), (np.float32(0.5), 0.5), (np.array([[3.0]]), 3.0), (True, 1.0)],
)
def test_scalars(value, expected) -> None:
    """Numbers and arrays of one element are read."""
    assert scalar(value) == expected


def test_non_finite_scalars_are_values() -> None:
    """NaN and infinities come through as they are."""
    assert math.isnan(scalar(np.float32("nan")))
    assert scalar(float("-inf")) == -math.inf


@pytest.mark.parametrize("value", ["0.5", object(), np.zeros(2), None, [1.0, 2.0]])
def test_what_is_no_number_is_refused(value) -> None:
    """Anything else raises with what it was."""
    with pytest.raises((TypeError, ValueError), match="expected"):
        scalar(value)


def test_numpy_is_shared() -> None:
    """A NumPy array is not copied."""
    array = np.zeros((4, 4))
    assert as_numpy(array) is array


def test_length() -> None:
    """The first dimension of arrays and lists; None of a number."""
    assert (length(np.zeros((3, 2))), length(["a", "b"]), length(np.float64(1))) == (3, 2, None)


class TestTorch:
    """Torch tensors on the CPU."""

    @pytest.fixture
    def torch(self):
        """Return torch, or skip loudly where it is not installed."""
        return pytest.importorskip("torch", reason="torch is not installed")

    def test_shares_memory_and_needs_no_detach(self, torch) -> None:
        """A tensor in a graph is read without a copy and stays in its graph."""
        leaf = torch.zeros(3, requires_grad=True)
        tensor = leaf * 2
        array = as_numpy(tensor)
        assert array.ctypes.data == tensor.data_ptr()
        assert tensor.requires_grad

    def test_bfloat16(self, torch) -> None:
        """bfloat16, which NumPy lacks, is cast."""
        assert as_numpy(torch.ones(2, dtype=torch.bfloat16)).tolist() == [1.0, 1.0]

    def test_loss_with_a_graph(self, torch) -> None:
        """A loss that still has its graph is read without a warning."""
        loss = (torch.ones(3, requires_grad=True) * 2).sum()
        assert scalar(loss) == 6.0
