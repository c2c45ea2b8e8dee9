"""Reading arrays of any framework without importing one and without changing one.

An array is told by the module of its type. What is returned shares memory with the original
wherever that is on the CPU: it is only read, within the step, and never kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "as_numpy", "length", "on_device", "scalar"]

Array = npt.NDArray[Any]


def _framework(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def on_device(value: Any) -> bool:
    """Return whether reading this would wait for an accelerator."""
    if _framework(value) != "torch":
        return False
    return bool(value.device.type != "cpu")


def _torch_as_numpy(tensor: Any) -> Array:
    if on_device(tensor):
        raise TypeError(
            f"a tensor on {tensor.device}, where numbers were expected in the CPU's memory: to "
            "read it here would make the training wait for the device; hand over a copy"
        )
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type
        tensor = tensor.float()
    array: Array = tensor.resolve_conj().resolve_neg().numpy()
    return array


def as_numpy(value: Any) -> Array:
    """Return the array as NumPy sees it, sharing memory where it can.

    Raises:
        TypeError: It is no array of numbers, or lies on an accelerator.
    """
    if isinstance(value, np.ndarray):
        array = value
    elif _framework(value) == "torch":
        array = _torch_as_numpy(value)
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"an array of {array.dtype}, where numbers were expected")
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def length(value: Any) -> int | None:
    """Return the size of the first dimension; None where there is none."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    try:
        return len(value)
    except TypeError:
        return None


def scalar(value: Any) -> float:
    """Return a number, or the one element of an array. NaN and infinities are values.

    Raises:
        TypeError: It is neither.
        ValueError: It has more elements than one.
    """
    if isinstance(value, (float, int)):
        return float(value)
    array = as_numpy(value)
    if array.size != 1:
        raise ValueError(f"an array of shape {array.shape}, where one number was expected")
    return float(array.reshape(()))
