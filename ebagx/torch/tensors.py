"""Tensors and arrays in the same memory."""

import weakref
from typing import Any, Generic, TypeVar

import numpy as np
import torch

_T = TypeVar("_T")

try:
    import ml_dtypes

    _BFLOAT16: Any = np.dtype(ml_dtypes.bfloat16)
except ModuleNotFoundError:
    _BFLOAT16 = None

TABLE_DTYPES = {torch.float32, torch.float64, torch.float16}
if _BFLOAT16 is not None:
    TABLE_DTYPES.add(torch.bfloat16)

# Subclasses of tensors give operations another meaning.
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_STRIDED = torch.strided


def is_plain(tensor: Any) -> bool:
    """Return whether an object is a tensor whose memory NumPy can read, or None."""
    if tensor is None:
        return True
    return (
        type(tensor) in _PLAIN
        and tensor.is_cpu
        and tensor.layout is _STRIDED
        and not (tensor.is_nested or tensor.is_neg() or tensor.is_quantized)
    )


def as_array(tensor: Any) -> np.ndarray:
    """Return the array in the memory of a plain tensor."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:
        array: np.ndarray = tensor.view(torch.int16).numpy().view(_BFLOAT16)
    else:
        array = tensor.numpy()
    return array


def as_tensor(array: np.ndarray) -> Any:
    """Return the tensor in the memory of a writeable array."""
    if array.dtype.kind == "V":  # bfloat16
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def note_change(tensor: Any) -> None:
    """Let autograd know that a tensor was changed by way of its array.

    Graphs that have saved the tensor then raise an error in backward.
    """
    torch.autograd.graph.increment_version(tensor)


class PerTensor(Generic[_T]):
    """One value for each of some tensors, which are held weakly and told apart by identity."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[weakref.ref[Any], _T]] = {}

    def get(self, tensor: Any) -> _T | None:
        """Return the value of a tensor, or None."""
        known, value = self._values.get(id(tensor), (None, None))
        return value if known is not None and known() is tensor else None

    def set(self, tensor: Any, value: _T) -> None:
        """Set the value of a tensor."""
        key = id(tensor)
        self._values[key] = weakref.ref(tensor, lambda gone: self._forget(key, gone)), value

    def _forget(self, key: int, gone: "weakref.ref[Any]") -> None:
        # Another tensor may have the number of one that is gone.
        if self._values.get(key, (None,))[0] is gone:
            del self._values[key]
