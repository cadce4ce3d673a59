"""`Pooling` is one call on the kernels as a function of PyTorch's autograd, with its gradients."""

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from ebagx._core.backward import Backward, row_gradient, weights_gradient
from ebagx._core.bags import Bags, bags_for
from ebagx._core.checks import check_grad_output
from ebagx._core.dense import DenseGradient
from ebagx._core.layout import copy_if_overlapping
from ebagx._core.options import Options
from ebagx._core.plain import checked_bags
from ebagx._core.table import Table
from ebagx.functional import pooled_bags
from ebagx.torch.arguments import Tensors, arrays_of
from ebagx.torch.tensors import PerTensor, as_array, as_tensor, note_change
from ebagx.torch.updates import Updates, is_executed


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
        *("bags", "ends", "options", "pooled", "shape", "sparse", "table", "tensors"),
        *("updates", "winners"),
    )

    bags: Bags
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
        weight, ids, _, weights = self.tensors
        table, indices, size = Table(as_array(weight)), as_array(ids), int(self.ends[-1])
        if weights is not None:
            weights = as_array(weights)
        fits = indices.size == size and (weights is None or weights.size == size)
        if table.shape != self.shape or not fits:
            raise RuntimeError(
                "a tensor that is needed for gradients has another shape than in the forward pass: "
                "assign to the data of weight, input and per_sample_weights after backward"
            )
        self.bags = checked_bags((indices, None, weights, True), self.ends, table)
        self.table, self.winners = table, None

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
            rows, values = row_gradient(backward)
            return _sparse_tensor(rows, values, table.shape)
        return as_tensor(DenseGradient(table.shape, table.sum_dtype).add(backward).total)


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
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """Return the gradients of the table and of the per-sample weights."""
        call, (_, _, per_sample_weights, _) = ctx.call, ctx.saved_tensors
        backward = call.backward_of(grad_output)
        of_table = of_weights = None
        if ctx.needs_input_grad[1]:
            # Autograd casts it to the dtype of the weights.
            of_weights = as_tensor(weights_gradient(backward)).reshape(per_sample_weights.shape)
        if ctx.needs_input_grad[0]:
            of_table = call.of_table(backward, ctx.next_functions[0][0])
        return of_table, of_weights, None


def _sparse_tensor(rows: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Any:
    """Return the gradient of touched rows, ascending, as a coalesced tensor."""
    indices = as_tensor(rows.astype(np.int64, copy=False)[np.newaxis])
    return torch.sparse_coo_tensor(
        indices, as_tensor(values), shape, is_coalesced=True, check_invariants=False
    )


_with_flag: PerTensor[bool] = PerTensor()


def keep_flag(weight: Any) -> None:
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
