"""Tensors and arrays in the same memory."""

import weakref
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from ebagx._core import cpu
from ebagx._core.dtypes import kernel_view

_T = TypeVar("_T")

try:
    import ml_dtypes

    _BFLOAT16: Any = np.dtype(ml_dtypes.bfloat16)
except ModuleNotFoundError:
    _BFLOAT16 = None

TABLE_DTYPES = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
    torch.float16: np.dtype(np.float16),
}
if _BFLOAT16 is not None:
    TABLE_DTYPES[torch.bfloat16] = _BFLOAT16
_INDEX_DTYPES = (torch.int32, torch.int64)

# Subclasses of tensors give operations another meaning.
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_STRIDED = torch.strided
# Functions in C that look at tensors; None before PyTorch 2.10.
_EXCHANGE = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)


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


def memories_of(tensors: tuple[Any, ...]) -> list[memoryview | None] | None:
    """Return the memory of each tensor, and None for None; or None if one has no memory to give.

    The memory must not be used longer than the tensors, which must be plain, contiguous and not
    empty, with one or two axes. Numbers of 16 bits are seen as integers. To make arrays in the same
    memory takes five times as long.
    """
    if _EXCHANGE is not None:
        return cpu.tensor_memories(tensors, _PLAIN, _EXCHANGE)
    if not all(tensor is None or _has_memory(tensor) for tensor in tensors):
        return None
    return [None if tensor is None else _memory_of(tensor) for tensor in tensors]


def _has_memory(tensor: Any) -> bool:
    is_known = is_plain(tensor) and (tensor.dtype in TABLE_DTYPES or tensor.dtype in _INDEX_DTYPES)
    return is_known and tensor.is_contiguous() and tensor.dim() in (1, 2) and tensor.numel() > 0


def _memory_of(tensor: Any) -> memoryview:
    array = as_array(tensor)
    read: Any = kernel_view(array) if tensor.dtype in TABLE_DTYPES else array
    return memoryview(read)


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


# glibc takes blocks that are larger from the system each time, whatever has been freed.
_MOST_KEPT = 31 << 20
_kept = 0


def keep_freed_memory(num_bytes: int) -> None:
    """Let the allocator keep freed memory of a step, up to twice this size, for the next one.

    glibc returns memory to the system as soon as more than twice the largest block that was ever
    freed is free, and a training step then pays for fresh pages each time. PyTorch's own backward
    frees a block for all lookups, and so raises this limit; ours has no such block. Here one is
    freed that nobody has written to.
    """
    global _kept
    size = min(num_bytes, _MOST_KEPT)
    if size > _kept:
        _kept = size
        np.empty(size, np.uint8)


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
