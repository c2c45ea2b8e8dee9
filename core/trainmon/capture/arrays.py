"""Reading arrays of any framework without importing one and without changing one.

An array is told by the modules of its type. What is returned shares memory with the original
wherever that is on the CPU: it is only read, within the step, and never kept.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "NUMBERS",
    "Array",
    "OnDeviceError",
    "as_numpy",
    "bfloat16_bits",
    "framework_of",
    "length",
    "on_device",
    "pick",
    "place_of",
    "reads_in_place",
    "scalar",
    "tensor_as_numpy",
    "widened",
    "would_wait",
]

Array = npt.NDArray[Any]

_FRAMEWORKS = frozenset({"torch", "jax", "jaxlib", "tensorflow", "cupy"})
#: A batch this small is read whole at no cost to speak of, also where that is a copy.
_SMALL = 1 << 14
#: Kinds of types, as NumPy calls them: truth values, whole numbers of either kind, real numbers.
NUMBERS = "biuf"


_known: dict[type, str] = {}


class OnDeviceError(TypeError):
    """An array lies on an accelerator, where to read it would make the training wait."""


def framework_of(value: Any) -> str:
    """Return the framework an array is of, empty where of none that is known."""
    return _framework_of(type(value))


def _framework_of(kind: type) -> str:
    """Return the framework a type is of; a subclass (torchvision's, a user's) is of it, too."""
    framework = _known.get(kind)
    if framework is None:
        if len(_known) > 256:  # a script that makes up types must not grow this for ever
            _known.clear()
        modules = (base.__module__.partition(".")[0] for base in kind.__mro__)
        framework = _known[kind] = next((name for name in modules if name in _FRAMEWORKS), "")
    return framework


def place_of(value: Any) -> str:
    """Return the kind of device an array is on, ``"cpu"`` where that is not to be told."""
    framework = _framework_of(type(value))
    if framework == "cupy":
        return "cuda"
    if framework == "torch":
        return str(value.device.type)
    if framework == "tensorflow":  # "/job:localhost/replica:0/task:0/device:GPU:0"
        return str(getattr(value, "device", "")).rpartition("device:")[2].partition(":")[0].lower()
    if framework in ("jax", "jaxlib"):
        platform = getattr(value, "platform", None)
        if callable(platform):  # a third of the time of the way through its devices
            return str(platform())
        devices = value.devices() if callable(getattr(value, "devices", None)) else ()
        return next((str(device.platform) for device in devices), "cpu")
    return "cpu"


def on_device(value: Any) -> bool:
    """Return whether reading this would wait for an accelerator."""
    return place_of(value) not in ("cpu", "")


def would_wait(value: Any) -> bool:
    """Return whether reading this now would wait: for an accelerator, or for JAX's own threads."""
    if on_device(value):
        return True
    return _framework_of(type(value)) in ("jax", "jaxlib") and not _is_there(value)


def _is_there(value: Any) -> bool:
    is_ready = getattr(value, "is_ready", None)
    return is_ready is None or bool(is_ready())


def _refuse_device(value: Any) -> None:
    if on_device(value):
        raise OnDeviceError(
            f"an array on {place_of(value)}, where numbers were expected in the CPU's memory: to "
            "read it here would make the training wait for the device; hand over a copy"
        )


def _is_bfloat16(tensor: Any) -> bool:
    return str(tensor.dtype) == "torch.bfloat16"


def _bits(tensor: Any) -> Array:
    """Return a bfloat16 tensor, which NumPy does not know, as bits: of a float32 the upper half."""
    array: Array = tensor.detach().view(sys.modules["torch"].int16).numpy().view(np.uint16)
    return array


def bfloat16_bits(value: Any) -> Array | None:
    """Return the bits of a Torch tensor of bfloat16 in the CPU's memory, shared; else None."""
    if _framework_of(type(value)) != "torch" or on_device(value) or not _is_bfloat16(value):
        return None
    return _bits(value)


def widened(bits: Array) -> Array:
    """Return as float32 what the bits of bfloat16 stand for, copied."""
    array: Array = (bits.astype(np.uint32) << 16).view(np.float32)
    return array


def tensor_as_numpy(tensor: Any) -> Array:
    """Return a Torch tensor in the CPU's memory, of a type that NumPy knows, sharing memory."""
    array: Array = tensor.detach().resolve_conj().resolve_neg().numpy()
    return array


def _torch_as_numpy(tensor: Any) -> Array:
    return widened(_bits(tensor)) if _is_bfloat16(tensor) else tensor_as_numpy(tensor)


def as_numpy(value: Any) -> Array:
    """Return the array as NumPy sees it, sharing memory where it can.

    Raises:
        TypeError: It is no array of numbers, or lies on an accelerator.
    """
    if type(value) is np.ndarray and value.dtype.kind in NUMBERS:
        return value  # what most loops show, and quickly
    _refuse_device(value)
    return _here_as_numpy(value)


def _here_as_numpy(value: Any) -> Array:
    # asarray, for a subclass (a matrix, a masked array) would index in a way of its own.
    array = np.asarray(_torch_as_numpy(value) if _framework_of(type(value)) == "torch" else value)
    if array.dtype.kind in NUMBERS:
        return array
    if array.dtype.name != "bfloat16":
        raise TypeError(f"an array of {array.dtype}, where numbers were expected")
    return array.astype(np.float32)


def reads_in_place(value: Any) -> bool:
    """Return whether :func:`as_numpy` costs next to nothing, however large the batch."""
    if isinstance(value, np.ndarray):
        dtype = value.dtype  # whose name is put together anew each time it is asked for
        return dtype.kind in NUMBERS or dtype.name != "bfloat16" or value.size <= _SMALL
    if _framework_of(type(value)) == "torch":
        return not _is_bfloat16(value) or value.numel() <= _SMALL
    if isinstance(value, (list, tuple)):
        return len(value) <= _SMALL and all(isinstance(each, (int, float)) for each in value)
    return True


def pick(value: Any, rows: Sequence[int]) -> Array:
    """Return some rows of a batch that does not read in place, copied.

    Raises:
        TypeError: A row is no array of numbers, or lies on an accelerator.
        ValueError: The rows are of different shapes.
    """
    if isinstance(value, (list, tuple)):
        return np.stack([as_numpy(value[row]) for row in rows])
    _refuse_device(value)
    if _framework_of(type(value)) == "torch":
        return widened(_bits(value)[list(rows)])
    return as_numpy(value[list(rows)])


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
        OnDeviceError: To read it would wait.
        TypeError: It is neither.
        ValueError: It has more elements than one.
    """
    if isinstance(value, (float, int)):
        return float(value)
    if _framework_of(type(value)) == "torch" and value.device.type == "cpu" and value.numel() == 1:
        return float(value.item())  # a tenth of the time of the way through NumPy
    if would_wait(value):
        _refuse_device(value)
        raise OnDeviceError("a number that is still computed: to read it here would wait for it")
    array = _here_as_numpy(value)
    if array.size != 1:
        raise ValueError(f"an array of shape {array.shape}, where one number was expected")
    return float(array.reshape(()))
