"""`Updates` lets an optimizer of ebagx update a table in the backward pass of PyTorch.

A gradient that is used at once stays in the cache. So the gradient of the table is not computed
where autograd requests it: `Updates.note` keeps its inputs, and returns a gradient without rows.
When autograd has added up the gradients of all calls in the graph, it calls a hook, and there the
optimizer takes its step, one for each backward pass.
"""

import threading
import weakref
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ebagx._core.backward import Backward, gradient_pieces, row_gradient
from ebagx._core.table import Table
from ebagx.gradients import RowGradient, as_row_gradient
from ebagx.optim import Optimizer
from ebagx.torch.tensors import PerTensor, as_array, as_tensor, note_change

# Backward passes that may be running at a time: those of several threads, or one in another, as
# checkpointing does. Those that ended with an error are forgotten, at last.
_MOST_PASSES = 64


class Updates:
    """The optimizer of one table, which takes a step in each backward pass.

    Copies and pickles have a copy of the optimizer, and belong to no table yet.

    Parameters
    ----------
    optimizer : ebagx.optim.Optimizer
        The optimizer, of this table alone.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        # Threads that train one table pool its rows and take their steps one after the other.
        self.lock = threading.RLock()
        self._noted: dict[int, list[Backward]] = {}
        self._place: Any = None
        self._table: Table | None = None
        self._dtype: Any = None  # of a table that the state of the optimizer is for
        self.detach()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.optimizer,)

    def detach(self) -> None:
        """Belong to no parameter, until the next call of `attach`, and to no memory."""
        self._weight: weakref.ref[Any] | None = None
        self.release()

    def release(self) -> None:
        """Hold the memory of no table until the next step."""
        with self.lock:
            self._table = None

    def table(self, weight: Any) -> Table:
        """Return the table of the parameter: the same object as long as its memory is the same.

        Then the optimizer recognises it at once.
        """
        place = weight.data_ptr(), weight.shape, weight.stride(), weight.dtype
        with self.lock:
            table = self._table
            if table is None or place != self._place:
                self._table = table = Table(as_array(weight))
                if place != self._place:  # other memory, after ``module.to``, say
                    self.optimizer.unbind()
                self._place = place
        return table

    def belongs_to(self, weight: Any) -> bool:
        """Return whether a parameter is the one whose gradients the optimizer takes."""
        return self._weight is not None and self._weight() is weight

    def attach(self, weight: Any) -> None:
        """Belong to a parameter, whose gradients the optimizer takes from now on.

        Raises
        ------
        RuntimeError
            If the optimizer belongs to another one, or the other way round, or `weight` is not a
            leaf of the graph or has hooks, which would get a gradient without rows.
        ValueError
            If the optimizer has the state of steps on a table of another precision.
        """
        if weight._backward_hooks:
            raise RuntimeError(
                "weight has hooks, which an optimizer in backward does not call: remove them, or "
                "use accelerate(module) without optimizer"
            )
        if weight.dtype is not self._dtype:
            self._check_precision(weight)
            self._dtype = weight.dtype
        if not self.belongs_to(weight):
            with self.lock:
                self._attach(weight)

    def _check_precision(self, weight: Any) -> None:
        """Raise ValueError if the optimizer has state in another dtype than its next steps need."""
        needed = np.dtype(np.float64 if weight.dtype is torch.float64 else np.float32)
        for name, array in self.optimizer._state.items():
            if array.dtype != needed:
                raise ValueError(
                    f"weight is {weight.dtype} now, whose optimizer needs {name} in {needed}, and "
                    f"that of the steps before is {array.dtype}: convert the module back, or "
                    "convert it before accelerate"
                )

    def _attach(self, weight: Any) -> None:
        if self.belongs_to(weight):  # by a call of another thread
            return
        known = None if self._weight is None else self._weight()
        owner = _owners.get(weight)
        other = None if owner is None else owner()
        if known is not None or not weight.is_leaf or other not in (None, self):
            raise RuntimeError(
                "weight is another tensor than the table that this optimizer updates in backward, "
                "or has an optimizer of its own: functional_call and shared tables need a module "
                "without optimizer, accelerate(module); a new table is assigned, bag.weight = table"
            )
        weight.register_post_accumulate_grad_hook(_take_step)
        self._weight = weakref.ref(weight)
        _owners.set(weight, weakref.ref(self))

    def note(self, backward: Backward) -> Any:
        """Keep the inputs of a gradient for the step; return a gradient without rows."""
        task = torch._C._current_graph_task_id()
        with self.lock:
            while task not in self._noted and len(self._noted) >= _MOST_PASSES:
                self._noted.pop(next(iter(self._noted)))
            self._noted.setdefault(task, []).append(backward)
        table = backward.table
        return _without_rows(table.shape, table.dtype)

    def take_step(self, weight: Any) -> None:
        """Let the optimizer take a step with the gradients of this backward pass."""
        with self.lock:
            self._take_step(weight)

    def _take_step(self, weight: Any) -> None:
        noted = self._noted.pop(torch._C._current_graph_task_id(), [])
        grad = weight.grad
        others = _rows_of(grad)
        # While another thread is between `note` and its hook, PyTorch may be adding to the gradient
        # without rows, and must find it.
        if others is not None or not self._noted:
            weight.grad = None
        if not weight.requires_grad:  # frozen since the forward pass
            return
        if not noted and others is None:
            return
        table = self.table(weight)
        self.optimizer.update_pieces(table, _pieces(noted, others, table))
        note_change(weight)

    def state(self) -> dict[str, Any]:
        """Return the state of the optimizer as numbers and tensors, which share its memory."""
        return {name: _as_state(value) for name, value in self.optimizer.state_dict().items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        arrays = {
            name: as_array(value.cpu()) if isinstance(value, torch.Tensor) else value
            for name, value in state.items()
        }
        self.optimizer.load_state_dict(arrays)
        self._dtype = None


# Hooks find the optimizer here: a parameter outlives the module that it was made for.
_owners: "PerTensor[weakref.ref[Updates]]" = PerTensor()


def _take_step(weight: Any) -> None:
    owner = _owners.get(weight)
    updates = None if owner is None else owner()
    if updates is not None and updates.belongs_to(weight):
        updates.take_step(weight)


def is_executed(node: Any) -> bool | None:
    """Return whether this backward pass adds a gradient to a leaf; None for ``autograd.grad``.

    With ``backward(inputs=...)``, it need not.
    """
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # the caller asks for the gradient of this leaf
        return None


@lru_cache(maxsize=16)
def _without_rows(shape: tuple[int, int], dtype: np.dtype[Any]) -> Any:
    """Return a gradient without rows. Autograd does not write to it, as it is referred to here."""
    values = as_tensor(np.empty((0, shape[1]), dtype))
    rows = torch.empty((1, 0), dtype=torch.int64)
    return torch.sparse_coo_tensor(rows, values, shape, check_invariants=False)


def _pieces(
    noted: list[Backward], others: RowGradient | None, table: Table
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Return the sum of gradients in pieces, of which one is in memory at a time if possible."""
    if others is None and len(noted) == 1:
        return gradient_pieces(noted[0])
    terms = [RowGradient._of(*row_gradient(backward), table.shape) for backward in noted]
    total = sum(terms if others is None else [*terms, others])
    assert isinstance(total, RowGradient)
    return [(total.rows, total.values.astype(table.sum_dtype, copy=False))]


def _rows_of(grad: Any) -> RowGradient | None:
    """Return the gradient from other uses of the table; None if there are no rows."""
    if grad is None or (grad.is_sparse and not grad._nnz()):
        return None
    if not grad.is_sparse:
        return as_row_gradient(_widened(grad))
    grad = grad.coalesce()
    return RowGradient(as_array(grad.indices()[0]), _widened(grad.values()), tuple(grad.shape))


def _widened(values: Any) -> np.ndarray:
    array = as_array(values)
    return array if array.itemsize >= 4 else array.astype(np.float32)


def _as_state(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    # Empty arrays are read-only, of which PyTorch would warn.
    return as_tensor(value if value.size else value.copy())
