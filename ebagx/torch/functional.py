"""`embedding_bag` decides whether a call runs on the kernels, and raises errors as PyTorch does."""

from typing import Any

import torch
from torch.autograd import forward_ad
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from ebagx.torch.arguments import Settings, Tensors, flattened, is_valid
from ebagx.torch.direct import pool_directly
from ebagx.torch.fallback import as_torch_raises, by_torch, check_tangents, refused
from ebagx.torch.pooling import Call, Pooling
from ebagx.torch.tensors import TABLE_DTYPES, is_plain
from ebagx.torch.updates import Updates

__all__ = ["embedding_bag"]


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    *,
    invalid: str = "raise",
    default_row: int | None = None,
    num_threads: int | None = None,
) -> Any:
    """Pool the table rows of each bag, as ``torch.nn.functional.embedding_bag``.

    Tensors on the CPU are pooled by the kernels of ebagx, others by PyTorch.

    Parameters
    ----------
    input : Tensor of int of shape (n,) or (B, L), or jagged
        The indices.
    weight : Tensor of shape (N, D), float16, bfloat16, float32 or float64
        The table. bfloat16 needs the package ``ml_dtypes``, else PyTorch does the work.
    offsets : Tensor of int of shape (B,), optional
        Start of each bag in 1-D `input`.
    max_norm, norm_type, scale_grad_by_freq, padding_idx
        As in PyTorch.
    include_last_offset : bool, default=False
        `offsets` has B + 1 entries, the last one n. If it is less, the last bag has all indices
        that are left, as in most of PyTorch's cases.
    mode : {"sum", "mean", "max", "sqrtn", "min"}, default="mean"
        PyTorch has the first three; see `ebagx.embedding_bag`.
    sparse : bool, default=False
        The gradient of `weight` is a sparse tensor, which is coalesced and stays so in
        ``weight.grad``. All modes and options have one.
    per_sample_weights : Tensor of float of the shape of `input`, optional
        A weight for each lookup, in the modes sum, mean and sqrtn. Its gradient is computed if it
        requires one.
    invalid : {"raise", "skip"}, default="raise"
        "skip" leaves out lookups whose index is outside [0, N).
    default_row : int, optional
        The row that a bag without lookups gives, in place of zeros.
    num_threads : int, optional
        Largest number of threads. By default that of PyTorch, ``torch.get_num_threads()``.

    Returns
    -------
    Tensor of shape (B, D)
        In the dtype of `weight`. There is no second derivative, and no forward-mode derivative.

    Raises
    ------
    RuntimeError, ValueError, NotImplementedError
        As PyTorch raises them. Offsets that decrease, and offsets that leave out indices, are
        errors here, too.

    Notes
    -----
    Cost: as `ebagx.embedding_bag`; backward sorts the n lookups, and its memory is U·D for U
    touched rows if `sparse`, else N·D.

    Examples
    --------
    >>> import torch, ebagx.torch
    >>> table = torch.arange(1.0, 11.0).reshape(5, 2)
    >>> bags = torch.tensor([[3, 1, 1], [1, 4, 0]])
    >>> ebagx.torch.embedding_bag(bags, table, mode="sum")
    tensor([[13., 16.],
            [13., 16.]])
    """
    settings = Settings(
        max_norm,
        norm_type,
        scale_grad_by_freq,
        mode,
        sparse,
        include_last_offset,
        padding_idx,
        invalid,
        default_row,
        num_threads,
    )
    return pooled(Tensors(weight, input, offsets, per_sample_weights), settings)


def pooled(tensors: Tensors, settings: Settings, updates: Updates | None = None) -> Any:
    """Return the pooled bags: from the kernels where they can, else from PyTorch.

    `updates` has the optimizer that takes the gradient of the table, if there is one.
    """
    if torch.compiler.is_compiling():
        if torch.compiler.is_exporting():
            return by_torch(tensors, settings, updates)
        return _outside_graphs(tensors, settings, updates)
    return _pooled(tensors, settings, updates)


def _pooled(tensors: Tensors, settings: Settings, updates: Updates | None) -> Any:
    weight, of_weights = tensors.weight, tensors.per_sample_weights
    if forward_ad._current_level >= 0:
        check_tangents(tensors)
    needs_grad = torch.is_grad_enabled() and _require_grad(weight, of_weights)
    if updates is not None and not (needs_grad and weight.requires_grad):
        updates = None
    if _is_transformed():
        return by_torch(*flattened(tensors, settings), updates)
    if updates is None:
        return _on_kernels(tensors, settings, needs_grad, None)
    with updates.lock:
        return _on_kernels(tensors, settings, needs_grad, updates)


def _on_kernels(
    tensors: Tensors, settings: Settings, needs_grad: bool, updates: Updates | None
) -> Any:
    """Return the pooled bags, outside of transformations, in the lock of `updates`."""
    done = pool_directly(tensors, settings, needs_grad)
    if done is not None and not needs_grad:
        return done[0]
    if done is None:
        tensors, settings = flattened(tensors, settings)
        if not all(map(is_plain, tensors)) or tensors.weight.dtype not in TABLE_DTYPES:
            return by_torch(tensors, settings, updates)
        if not is_valid(tensors, settings):
            return refused(tensors, settings)
    if updates is not None:
        _check_undistributed()
        updates.attach(tensors.weight)
    if done is not None:
        return _with_graph(Call(tensors, settings.sparse, updates, *done))
    try:
        options = settings.options(tensors.weight.shape[0])
        call = Call(tensors, settings.sparse, updates, None, None, tensors.weight.shape, options)
        return _with_graph(call) if needs_grad else call.pool()
    except (IndexError, ValueError) as error:
        raise as_torch_raises(error, tensors) from None


# It imports the compiler when it is first called, which takes a second: then it is loaded already.
_outside_graphs = torch._compile._disable_dynamo(_pooled)


def _require_grad(weight: Any, per_sample_weights: Any) -> bool:
    return weight.requires_grad or (
        per_sample_weights is not None and per_sample_weights.requires_grad
    )


def _is_transformed() -> bool:
    """Return whether PyTorch records or transforms its operations, of which the kernels are none.

    So do traces, most modes of ``__torch_dispatch__``, and ``torch.func.grad`` and ``vmap``.
    """
    return bool(
        (torch._C._len_torch_dispatch_stack() > 0 and not _only_counts())
        or torch._C._are_functorch_transforms_active()
        or torch.jit.is_tracing()
    )


def _only_counts() -> bool:
    """Return whether all modes are those of ``FlopCounterMode``: pooling has no operation in it."""
    modes = _get_current_dispatch_mode_stack()
    return all(type(mode).__module__ == "torch.utils.flop_counter" for mode in modes)


# `Function.apply` looks for transformations before, which have gone to PyTorch: a tenth of a call.
_apply = super(torch.autograd.Function, Pooling).apply


def _with_graph(call: Call) -> Any:
    """Return the pooled bags, through which autograd goes backward."""
    weight, _, _, per_sample_weights = call.tensors
    return _apply(weight, per_sample_weights, call)


def _check_undistributed() -> None:
    """Raise RuntimeError in a module whose gradients several processes exchange."""
    if getattr(DistributedDataParallel, "_active_ddp_module", None) is not None:
        raise RuntimeError(
            "DistributedDataParallel exchanges the gradients of parameters, and an optimizer in "
            "backward leaves none: use accelerate(module) without optimizer"
        )
