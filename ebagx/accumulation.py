"""`GradientSum` adds up the gradients of a module's table and of its per-sample weights.

The sum is g1 + g2 + ..., element by element and from left to right, where each g is the gradient of
one backward pass. This is the rule in every form, so that all forms have the same bits:

* a dense sum is a `DenseGradient`, whose array is `grad`;
* a sparse sum is a `RowSum`; `grad` is made of it when it is read.

The caller may write to what `grad` returns. So a form that has been read is read back before it is
used: a `RowGradient` shares the memory of its values, and a matrix is compared with its arrays.
"""

from typing import Any

import numpy as np
import scipy.sparse

from ebagx._core.arguments import check_sparse
from ebagx._core.backward import Backward, row_gradient
from ebagx._core.checks import as_plain_array, as_real
from ebagx._core.dense import DenseGradient
from ebagx._core.memory import check_mapped
from ebagx._core.options import Options
from ebagx._core.row_sum import RowSum
from ebagx._core.table import Table
from ebagx.gradients import RowGradient, as_row_gradient

__all__ = ["GradientSum"]


class GradientSum:
    """Base of `EmbeddingBag`, which has the gradients of its table.

    There are these states of the table's gradient:

    =============================  ==========  ==============  ========
    state                          `_grad`     `_dense`        `_rows`
    =============================  ==========  ==============  ========
    none                           None        memory or None  None
    dense, by backward             its array   the sum         None
    dense, assigned                the array   None            None
    sparse, not read since         None        None            the sum
    sparse, read or assigned       the object  None            the sum
    =============================  ==========  ==============  ========
    """

    __slots__ = ("_dense", "_frozen", "_grad", "_parts", "_rows", "_sparse", "_weights_grad")

    _table: Table
    _options: Options
    _frozen: bool
    _grad: Any
    _dense: DenseGradient | None
    _rows: RowSum | None
    _parts: tuple[Any, ...]  # the arrays of the matrix in `_grad`
    _weights_grad: np.ndarray | None

    def __init__(self, sparse: bool | str) -> None:
        self._sparse = check_sparse(sparse)
        self._weights_grad = None
        self._drop()

    @property
    def sparse(self) -> bool | str:
        """The form of `grad`: False, True or ``"rows"``. Assigned, it converts the present one."""
        return self._sparse

    @sparse.setter
    def sparse(self, sparse: bool | str) -> None:
        sparse = check_sparse(sparse)
        if sparse != self._sparse:
            self._convert(sparse, self._table)

    @property
    def grad(self) -> Any:
        """The sum of the table's gradients since `zero_grad`; None if there were none.

        It may be assigned, in any form, and written to: ``bag.grad *= 0.5``,
        ``bag.grad += decay * bag.weight``, ``bag.grad[:] = 0``. What is assigned gets the form that
        `sparse` names, and the dtype of gradients. A gradient whose numbers have all been set to 0
        by hand has no touched rows, as after `zero_grad`.

        The memory of a dense one is used again, and `zero_grad` clears only the rows that bags have
        touched: do not write to other rows by index (``bag.grad[5] = 1``), or assign the gradient
        afterwards (``bag.grad = bag.grad``), which finds these rows in the whole table.
        """
        if self._grad is None and self._rows is not None:
            gradient = RowGradient._of(*self._rows.total(), self._table.shape)
            self._grad = gradient.to_form(self._sparse)
            self._parts = _parts_of(self._grad)
        return self._grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is None:
            self._drop()
            return
        if self._dense is not None and grad is self._dense.total:
            self._dense.note_writes()
            self._grad = grad
        elif grad is not self._grad:
            self._assign(grad)

    @property
    def per_sample_weights_grad(self) -> np.ndarray | None:
        """The sum of the gradients of the per-sample weights since `zero_grad`, or None."""
        return self._weights_grad

    @per_sample_weights_grad.setter
    def per_sample_weights_grad(self, grad: Any) -> None:
        if grad is not None:
            grad = as_plain_array(grad, "per_sample_weights_grad")
            grad = as_real(grad, "per_sample_weights_grad", self._table.sum_dtype)
        self._weights_grad = grad

    def row_gradient(self) -> RowGradient:
        """Return `grad`, in any form, as the `RowGradient` that optimizers take.

        Returns
        -------
        RowGradient
            Gradient of the rows that bags have touched or, if a dense `grad` was assigned, of those
            that are not all zeros.

        Raises
        ------
        RuntimeError
            If `grad` is None, or the table is frozen.
        """
        if self._frozen:
            raise RuntimeError("the table is frozen and takes no step: set frozen = False before")
        gradient = self._as_rows()
        if gradient is None:
            raise RuntimeError("grad is None: call backward first")
        return gradient

    def _as_rows(self) -> RowGradient | None:
        """Return the sum by its rows; None if there is none."""
        shape = self._table.shape
        if self._rows is not None:
            self._read_back()
            return RowGradient._of(*self._rows.total(), shape)
        if self._dense is not None and self._grad is self._dense.total:
            return RowGradient._of(*self._dense.row_gradient(), shape)
        return None if self._grad is None else as_row_gradient(self._grad)

    def _add_gradient(self, backward: Backward) -> None:
        """Add a gradient of the table, in the form that `sparse` names."""
        if not self._sparse:
            dense = self._writable()
            self._grad = dense.add(backward).total
            self._dense = dense
            return
        rows, values = row_gradient(backward)
        values = values.astype(self._table.sum_dtype, copy=False)
        if self._rows is None:
            self._rows = RowSum(rows, values)
        else:
            self._read_back()
            self._rows.add(rows, values)
        self._grad, self._parts = None, ()

    def _writable(self) -> DenseGradient:
        """Return the dense sum, in memory of its own: an assigned array is copied."""
        table, dense = self._table, self._dense
        if self._grad is not None and (dense is None or self._grad is not dense.total):
            given = as_row_gradient(self._grad)
            return DenseGradient.of_rows(given.rows, given.values, table.shape)
        if dense is None:
            return DenseGradient(table.shape, table.sum_dtype)
        if self._grad is None:
            dense.clear(self._options.num_threads)  # of rows that an interrupted call has written
        return dense

    def _add_weights_gradient(self, of_weights: np.ndarray | None) -> None:
        if of_weights is not None:
            previous = self._weights_grad
            self._weights_grad = of_weights if previous is None else previous + of_weights

    def _check_weights_gradient(self, weights_shape: tuple[int, ...] | None) -> None:
        previous = self._weights_grad
        if weights_shape is not None and previous is not None and previous.shape != weights_shape:
            raise ValueError(
                f"per_sample_weights_grad has shape {previous.shape} from an earlier call, "
                f"cannot add shape {weights_shape}: call zero_grad() first"
            )

    def zero_grad(self) -> None:
        """Drop the gradients.

        The next dense `grad` uses the same memory: copy a gradient that you need later. To set
        ``bag.grad = None`` gives the memory back instead, and leaves it as it is.
        """
        dense = self._dense
        if dense is not None:
            dense.clear(self._options.num_threads)
        self._drop()
        self._dense, self._weights_grad = dense, None

    def _drop(self) -> None:
        self._grad = None
        self._dense = self._rows = None
        self._parts = ()

    def _assign(self, grad: Any) -> None:
        """Take over a gradient of the caller, in the form that `sparse` names, or raise."""
        is_array = not (isinstance(grad, RowGradient) or scipy.sparse.issparse(grad))
        given: Any = as_plain_array(grad, "grad") if is_array else grad
        shape, dtype = self._table.shape, self._table.sum_dtype
        if given.shape != shape:
            raise ValueError(f"grad must have shape {shape}, got {given.shape}")
        if is_array:
            given = as_real(given, "grad", dtype)
        if is_array and not self._sparse:
            self._drop()
            self._grad = given
            return
        gradient = as_row_gradient(given)
        rows, values = gradient.rows, as_real(gradient.values, "grad", dtype)
        if not self._sparse:
            touched = len(rows) if values.any() else 0
            self._put(RowGradient._of(rows[:touched], values[:touched], shape))
            return
        # Zeros times a factor are no more chosen by hand than they were.
        was_zero = self._rows is not None and self._rows.was_zero(rows)
        self._drop()
        self._rows = RowSum(rows, values, is_shared=True, was_zero=was_zero)
        if self._sparse == "rows":
            same = values is gradient.values
            self._grad = gradient if same else RowGradient._of(rows, values, shape)
        elif isinstance(given, scipy.sparse.bsr_array) and np.may_share_memory(given.data, values):
            self._grad, self._parts = given, _parts_of(given)

    def _read_back(self) -> None:
        """Take over a matrix in which the caller has replaced arrays."""
        pairs = zip(self._parts, _parts_of(self._grad), strict=True)
        if self._parts and any(mine is not other for mine, other in pairs):
            self._assign(self._grad)

    def _convert(self, sparse: bool | str, table: Table) -> None:
        """Change the form of the sum so far, and its dtype to that of a table."""
        gradient = self._as_rows()
        if gradient is None:
            self._drop()
            self._sparse = sparse
            return
        # The caller may have the memory of the values, and may write to it later.
        values = gradient.values.astype(table.sum_dtype)
        before, self._sparse = self._sparse, sparse
        try:
            self._put(RowGradient._of(gradient.rows, values, table.shape))
        except BaseException:
            self._sparse = before
            raise

    def _put(self, gradient: RowGradient) -> None:
        """Set the sum to a gradient that no one else has."""
        rows, values, shape = gradient.rows, gradient.values, gradient.shape
        dense = None if self._sparse else DenseGradient.of_rows(rows, values, shape)
        self._drop()
        if dense is None:
            self._rows = RowSum(rows, values)
        else:
            self._dense, self._grad = dense, dense.total

    def _copied(self) -> dict[str, Any]:
        """Return the state of a copy, which shares no gradient with this object.

        A sum is represented by its touched rows in every form, and an assigned array by itself.
        """
        grad = self._grad
        if grad is None or self._rows is not None or self._dense is not None:
            grad = self._as_rows()
        if isinstance(grad, RowGradient):
            grad = RowGradient._of(grad.rows, grad.values.copy(), grad.shape)
        elif grad is not None:
            check_mapped(grad, "grad")
            grad = grad.copy()
        weights_grad = self._weights_grad
        if weights_grad is not None:
            weights_grad = weights_grad.copy()
        nothing = dict.fromkeys(("_dense", "_rows"))
        return {**nothing, "_parts": (), "_grad": grad, "_weights_grad": weights_grad}

    def __getstate__(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Return the state of a copy, which shares the table with `copy.copy`, and no gradient."""
        state: Any = object.__getstate__(self)
        return state[0], {**state[1], **self._copied()}

    def __setstate__(self, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
        for part in state:
            for name, value in (part or {}).items():
                setattr(self, name, value)
        if isinstance(self._grad, RowGradient):
            self._put(self._grad)


def _parts_of(grad: Any) -> tuple[Any, ...]:
    """Return the arrays of a block matrix; none for other forms."""
    is_matrix = isinstance(grad, scipy.sparse.bsr_array)
    return (grad.data, grad.indices, grad.indptr) if is_matrix else ()
