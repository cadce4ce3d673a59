"""`Pooling` is one call on the kernels as a function of PyTorch's autograd, with its gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from ebagx._core.backward import Backward, few_rows, row_gradient, weights_gradient
from ebagx._core.bags import NO_WEIGHTS, Bags, bags_for
from ebagx._core.checks import check_grad_output
from ebagx._core.dense import DenseGradient
from ebagx._core.layout import copy_if_overlapping
from ebagx._core.options import Options
from ebagx._core.table import Table
from ebagx.functional import pooled_bags
from ebagx.torch.arguments import Tensors, arrays_of
from ebagx.torch.tensors import (
    PerTensor,
    as_array,
    as_tensor,
    keep_freed_memory,
    memories_of,
    note_change,
)
from ebagx.torch.updates import Updates, is_executed

# A gradient of so many bytes is copied in less time than a hook of Python takes.
_FEW_BYTES = 1 << 16


class Call:
    """One call, and what its gradients need of the forward pass.

    Parameters
    ----------
    tensors : Tensors
        The arguments that are tensors.
    sparse : bool
        The form of the table's gradient.
    updates : Updates or None
        The optimizer that takes the gradient of the table.
    pooled : Tensor or None
        The pooled bags, if `pool_directly` has made them.
    ends : ndarray or None
        Their closed offsets.
    shape : tuple of int
        That of the table.
    options : Options
        The options over the table.
    """

    __slots__ = (
        *("bags", "ends", "given", "options", "pooled", "shape", "sparse", "table", "tensors"),
        *("updates", "winners"),
    )

    bags: Bags
    given: Any
    table: Table
    winners: np.ndarray | None

    def __init__(
        self,
        tensors: Tensors,
        sparse: bool,
        updates: Updates | None,
        pooled: Any,
        ends: Any,
        shape: tuple[int, ...],
        options: Options,
    ) -> None:
        self.tensors, self.sparse, self.updates = tensors, sparse, updates
        self.pooled, self.ends, self.shape, self.options = pooled, ends, shape, options

    def pool(self) -> Any:
        """Return the pooled bags (B, D) as a tensor, and keep what the gradients need."""
        if self.pooled is not None:
            # The tensor that autograd makes of it refers to this object.
            pooled, self.pooled = self.pooled, None
            return pooled
        weight, ids, offsets, per_sample_weights = self.tensors
        self.table = table = Table(as_array(weight))
        options = self.options
        arrays = arrays_of(ids, offsets, per_sample_weights, options.include_last_offset)
        self.bags, source = bags_for(*arrays, table, options)
        result, self.winners = pooled_bags(self.bags, source, table, options)
        if options.max_norm is not None:
            note_change(weight)
        return as_tensor(result)

    def backward_of(self, grad_output: Any) -> Backward:
        """Return the inputs of the gradients."""
        if self.ends is not None:
            self._read()
        table, bags = self.table, self.bags
        shape = bags.num_bags, table.dim
        if grad_output.is_neg():
            grad_output = grad_output.resolve_neg()
        grad = check_grad_output(as_array(grad_output), shape, table.sum_dtype)
        if self.updates is not None:
            # An optimizer reads the gradient while it writes the table.
            grad = copy_if_overlapping(grad, table.array)
        return Backward(grad, bags, table, self.winners, self.options)

    def _read(self) -> None:
        """Make arrays of the tensors of bags that were pooled without them.

        Autograd has checked that these are as they were, but not that they have the same memory:
        assignments to ``data`` change that.
        """
        weight, updates = self.tensors.weight, self.updates
        self.table = Table(as_array(weight)) if updates is None else updates.table(weight)
        self.bags, self.winners = self._bags(NO_WEIGHTS[self.table.sum_dtype]), None

    def _bags(self, weights: np.ndarray) -> Bags:
        """Return the bags that were pooled without arrays, or raise as `_read`.

        They have these weights if the call had none.
        """
        weight, ids, _, given = self.tensors
        indices, size = as_array(ids), self.ends.item(-1)
        fits = weight.shape == self.shape and indices.size == size
        if given is not None:
            weights = as_array(given)
            fits = fits and weights.size == size
        if not fits:
            raise RuntimeError(
                "a tensor that is needed for gradients has another shape than in the forward pass: "
                "assign to the data of weight, input and per_sample_weights after backward"
            )
        return Bags(indices.reshape(-1), self.ends, weights.reshape(-1))

    def few_rows(self, grad_output: Any) -> Any:
        """Return the gradient of the table as `of_table` does, in half the time, or None.

        It is for few lookups that were pooled without arrays, and for a sparse gradient.
        """
        if self.ends is None or self.updates is not None or not self.sparse:
            return None
        grad_output = grad_output.contiguous()
        memories = memories_of((grad_output,))
        if memories is None:
            return None
        grad = np.asarray(memories[0])
        no_weights = NO_WEIGHTS.get(grad.dtype)
        if no_weights is None:  # as for float16
            return None
        few = few_rows(grad, self._bags(no_weights), self.shape[0], self.options.mode)
        return None if few is None else self._sparse_tensor(*few)

    def of_table(self, backward: Backward, node: Any) -> Any:
        """Return the gradient of the table, which goes to a node of the graph.

        Autograd casts it to the dtype of the table.
        """
        if self.updates is not None:
            executed = is_executed(node)
            if executed is not None:
                return self.updates.note(backward) if executed else None
        table = backward.table
        if self.sparse:
            return self._sparse_tensor(*row_gradient(backward))
        return as_tensor(DenseGradient(table.shape, table.sum_dtype).add(backward).total)

    def _sparse_tensor(self, rows: np.ndarray, values: np.ndarray) -> Any:
        """Return the gradient of touched rows, ascending, as a coalesced tensor."""
        indices = as_tensor(rows.astype(np.int64, copy=False)[np.newaxis])
        gradient = torch.sparse_coo_tensor(
            indices, as_tensor(values), self.shape, is_coalesced=True, check_invariants=False
        )
        weight = self.tensors.weight
        if values.nbytes <= _FEW_BYTES and gradient.dtype is weight.dtype:
            # Autograd copies a gradient that is referred to, with its flag.
            self.given = gradient
            return gradient
        # The optimizers of PyTorch have several arrays of this size at a time.
        keep_freed_memory(4 * values.nbytes)
        if self.updates is None and weight.is_leaf and weight.requires_grad:
            _keep_flag(weight)
        return gradient


class Pooling(torch.autograd.Function):  # type: ignore[misc]
    """Pool bags, with gradients of the table and of the per-sample weights."""

    # A method `setup_context` is of use to torch.func alone, whose calls go to PyTorch. With one,
    # PyTorch binds the arguments to the signature in each call, which took 15 of 60 us.
    @staticmethod
    def forward(ctx: Any, weight: Any, per_sample_weights: Any, call: Call) -> Any:
        """Return the pooled bags (B, D)."""
        # Autograd notices changes to saved tensors, which backward reads by way of their arrays.
        _, ids, offsets, _ = call.tensors
        of_weights = weight if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(ids, offsets, per_sample_weights, of_weights)
        ctx.call = call
        return call.pool()

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """Return the gradients of the table and of the per-sample weights."""
        if torch.is_grad_enabled():  # with ``create_graph=True``
            return _gradients_once(ctx, grad_output)
        return _gradients(ctx, grad_output)


def _gradients(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
    call, (_, _, per_sample_weights, _) = ctx.call, ctx.saved_tensors
    of_table, of_weights, _ = ctx.needs_input_grad
    if not of_weights and (few := call.few_rows(grad_output)) is not None:
        return few, None, None
    backward = call.backward_of(grad_output)
    weights = table = None
    if of_weights:
        # Autograd casts it to the dtype of the weights.
        weights = as_tensor(weights_gradient(backward)).reshape(per_sample_weights.shape)
    if of_table:
        table = call.of_table(backward, ctx.next_functions[0][0])
    return table, weights, None


# Graphs of gradients are rare, and to rule them out took 3 us in each backward pass.
_gradients_once: Callable[..., tuple[Any, ...]] = once_differentiable(_gradients)


_with_flag: PerTensor[bool] = PerTensor()


def _keep_flag(weight: Any) -> None:
    """Keep the gradients of a leaf coalesced.

    ``AccumulateGrad`` makes a tensor of the indices and values of the first gradient, and drops the
    flag. The optimizers of PyTorch then sort and copy the gradient again, which takes longer than
    all of backward.
    """
    if _with_flag.get(weight) is None:
        weight.register_post_accumulate_grad_hook(_restore_flag)
        _with_flag.set(weight, True)


def _restore_flag(weight: Any) -> None:
    """Mark a gradient as coalesced if its rows ascend, each once."""
    grad = weight.grad
    if grad is None or not grad.is_sparse or grad.is_coalesced() or grad.sparse_dim() != 1:
        return
    rows = as_array(grad._indices())[0]
    if (rows[1:] > rows[:-1]).all():
        grad._coalesced_(True)
