"""Calls that PyTorch takes or refuses, and errors in its words."""

from typing import Any

import torch
from torch.autograd import forward_ad

from ebagx._core.arguments import RAISE
from ebagx._core.modes import MODES, SUM
from ebagx.torch.arguments import Settings, Tensors
from ebagx.torch.tensors import as_array
from ebagx.torch.updates import Updates

_TORCH_LACKS = [MODES["sqrtn"].name, MODES["min"].name]


def refused(tensors: Tensors, settings: Settings) -> Any:
    """Let PyTorch raise its error for a call that is not valid."""
    mode = SUM.name if settings.mode in _TORCH_LACKS else settings.mode
    _call_torch(tensors, settings._replace(mode=mode))
    raise ValueError(f"embedding_bag: mode {settings.mode!r} does not take these arguments")


def by_torch(tensors: Tensors, settings: Settings, updates: Updates | None) -> Any:
    """Return the pooled bags from PyTorch, or raise an error if it lacks what is needed."""
    _check_devices(tensors)
    place = f"got {tensors.weight.dtype} on {tensors.weight.device}"
    if updates is not None:
        raise RuntimeError(
            "an optimizer in backward needs a table on the CPU, in float16, bfloat16 (with the "
            "package ml_dtypes), float32 or float64, outside of traces, torch.func and modes of "
            f"__torch_dispatch__, {place}: move the module back, or use accelerate(module) without "
            "optimizer"
        )
    extras = {
        "mode": settings.mode in _TORCH_LACKS,
        "invalid": settings.invalid != RAISE,
        "default_row": settings.default_row is not None,
    }
    used = [f"{name}={getattr(settings, name)!r}" for name, is_used in extras.items() if is_used]
    if used:
        raise NotImplementedError(
            f"embedding_bag: PyTorch has no {', '.join(used)}, and ebagx needs dense tensors on "
            f"the CPU, outside of traces, torch.func and modes of __torch_dispatch__, {place}"
        )
    return _call_torch(tensors, settings)


def check_tangents(tensors: Tensors) -> None:
    """Raise NotImplementedError for a tensor of forward-mode derivatives, as PyTorch does."""
    for name, tensor in zip(Tensors._fields, tensors, strict=True):
        if isinstance(tensor, torch.Tensor) and forward_ad.unpack_dual(tensor).tangent is not None:
            raise NotImplementedError(
                f"Trying to use forward AD with embedding_bag, by a tangent of {name}, which is "
                "missing in PyTorch and in ebagx: use torch.nn.functional.embedding and a sum"
            )


def _check_devices(tensors: Tensors) -> None:
    """Raise RuntimeError unless tensors are on one device.

    PyTorch returns memory that it has not written for a table on the CPU and indices on "meta".
    """
    devices = {tensor.device for tensor in tensors if isinstance(tensor, torch.Tensor)}
    if len(devices) > 1:
        listed = ", ".join(sorted(map(str, devices)))
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found {listed}: move input, "
            "offsets and per_sample_weights to the device of weight"
        )


def _call_torch(tensors: Tensors, settings: Settings) -> Any:
    weight, ids, offsets, per_sample_weights = tensors
    return torch.nn.functional.embedding_bag(
        ids,
        weight,
        offsets,
        settings.max_norm,
        settings.norm_type,
        settings.scale_grad_by_freq,
        settings.mode,
        settings.sparse,
        per_sample_weights,
        settings.include_last_offset,
        settings.padding_idx,
    )


def as_torch_raises(error: Exception, tensors: Tensors) -> Exception:
    """Return an error of the type and with the first words that PyTorch has, and the detail."""
    weight, ids, offsets, _ = tensors
    if isinstance(error, IndexError):
        flat = as_array(ids).reshape(-1)
        bad = flat[(flat < 0) | (flat >= len(weight))][0]
        words = "embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be"
        return RuntimeError(f"{words} {bad}: {error}")
    if offsets is None:
        return error
    if not len(offsets):
        return RuntimeError(f"number of offset should be at least 1: {error}")
    first, last, most = int(offsets[0]), int(offsets[-1]), len(ids)
    if first != 0:
        words = "offsets[0] has to be 0, i.e., the first sequence starts at position 0"
        return RuntimeError(f"{words}. However, got {first}: {error}")
    if last > most:
        words = f"offsets[-1] can not be greater than input's length {most}"
        return RuntimeError(f"{words} but got offsets[-1] of {last}: {error}")
    return error
