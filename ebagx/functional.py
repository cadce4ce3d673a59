"""Pool bags and compute gradients in functions: check the arguments, run, return."""

from typing import Any, Literal, overload

import numpy as np
import scipy.sparse

from ebagx._core import passes
from ebagx._core.arguments import OR_NONE, RAISE, check_flag, check_size, check_sparse
from ebagx._core.backward import Backward, row_gradient, weights_gradient
from ebagx._core.bags import (
    Bags,
    as_bags,
    bags_for,
    check_indices,
    raise_bad_source,
    select_lookups,
)
from ebagx._core.checks import check_grad_output, check_max_indices, check_out, check_winners
from ebagx._core.dense import DenseGradient
from ebagx._core.forms.source import Source
from ebagx._core.modes import EXTREME_MODES, WEIGHTED_MODES
from ebagx._core.options import Options, checked_options
from ebagx._core.plain import plain_bags, pool_plainly
from ebagx._core.table import Table
from ebagx.gradients import EmbeddingBagGradients, RowGradient

__all__ = ["csr_from_bags", "embedding_bag", "embedding_bag_backward"]


@overload
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = ...,
    max_norm: float | None = ...,
    norm_type: float = ...,
    scale_grad_by_freq: bool = ...,
    mode: str = ...,
    sparse: bool | str = ...,
    per_sample_weights: Any = ...,
    include_last_offset: bool = ...,
    padding_idx: int | None = ...,
    *,
    return_indices: Literal[False] = ...,
    out: np.ndarray | None = ...,
    num_threads: int | None = ...,
    invalid: str = ...,
    default_row: int | None = ...,
) -> np.ndarray: ...


@overload
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = ...,
    max_norm: float | None = ...,
    norm_type: float = ...,
    scale_grad_by_freq: bool = ...,
    mode: str = ...,
    sparse: bool | str = ...,
    per_sample_weights: Any = ...,
    include_last_offset: bool = ...,
    padding_idx: int | None = ...,
    *,
    return_indices: Literal[True],
    out: np.ndarray | None = ...,
    num_threads: int | None = ...,
    invalid: str = ...,
    default_row: int | None = ...,
) -> tuple[np.ndarray, np.ndarray]: ...


@overload
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = ...,
    max_norm: float | None = ...,
    norm_type: float = ...,
    scale_grad_by_freq: bool = ...,
    mode: str = ...,
    sparse: bool | str = ...,
    per_sample_weights: Any = ...,
    include_last_offset: bool = ...,
    padding_idx: int | None = ...,
    *,
    return_indices: bool,
    out: np.ndarray | None = ...,
    num_threads: int | None = ...,
    invalid: str = ...,
    default_row: int | None = ...,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]: ...


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool | str = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    *,
    return_indices: bool = False,
    out: np.ndarray | None = None,
    num_threads: int | None = None,
    invalid: str = "raise",
    default_row: int | None = None,
) -> Any:
    r"""Pool the table rows of each bag of indices.

    The arguments, their order and their meaning are those of
    ``torch.nn.functional.embedding_bag``.

    Parameters
    ----------
    input : array_like of int, scipy.sparse matrix, list of sequences of int or column of lists
        The bags, n indices in all, in one of five forms:

        * 1-D of shape (n,), cut into bags by `offsets`;
        * 2-D of shape (B, L), each row a bag;
        * a sparse matrix of shape (B, N): row = bag, column = index, stored value = weight.
          CSR is used in place, other formats are converted. Stored zeros are entries,
          duplicates are allowed;
        * a list, array or iterator of B integer sequences: lists, arrays, tensors, series;
        * a column of B lists of pyarrow, polars, pandas, nanoarrow or DuckDB, by the Arrow C data
          interface. A null list is an empty bag.

        int32 and int64 indices are used without a copy, except those of a list of sequences.
    weight : array_like of shape (N, D), float16, bfloat16, float32 or float64, or QuantizedTable
        The embedding table, in any memory layout. Only the rows that occur in `input` are read;
        those that are not contiguous are copied first.
    offsets : array_like of int of shape (B,), optional
        Start of each bag in 1-D `input`; the last bag ends at n.
    max_norm : float, optional
        Rows in `input` whose norm is greater are first scaled down to it, in place in `weight`.
    norm_type : float, default=2.0
        The p of the norm for `max_norm`; 0 counts non-zeros, inf is the largest value.
    scale_grad_by_freq, sparse : bool, default=False
        Without effect here, as in PyTorch; see `embedding_bag_backward`.
    mode : {"sum", "mean", "sqrtn", "max", "min"}, default="mean"
        The formula that pools a bag; see Notes.
    per_sample_weights : array_like of float, of the shape of `input`, or bags of float, optional
        A weight for each lookup, in the modes sum, mean and sqrtn. Ragged weights may have any of
        the forms of ragged `input`, also another one than `input` has.
    include_last_offset : bool, default=False
        `offsets` has B + 1 entries, the last one n, as the ``indptr`` of CSR.
    padding_idx : int, optional
        Lookups of this row are skipped, also in the divisor. Negative counts from the end.
    return_indices : bool, default=False
        Also return `max_indices`, in the modes max and min.
    out : ndarray of shape (B, D), optional
        Array for the result, of the dtype of `weight`.
    num_threads : int, optional
        Largest number of threads. By default the number that OpenMP would use
        (``OMP_NUM_THREADS``), within the CPU quota of the container. The result has the same bits
        for every number.
    invalid : {"raise", "skip"}, default="raise"
        "skip" leaves out lookups whose index is outside [0, N), as if they were padding.
    default_row : int, optional
        A bag without lookups, after padding and skipped ones are removed, gives this row. Negative
        counts from the end. By default such a bag gives zeros.

    Returns
    -------
    pooled : ndarray of shape (B, D)
        In the dtype of `weight`. An empty bag gives zeros, or `default_row`.
    max_indices : ndarray of shape (B, D)
        Only with ``return_indices=True``: the table row from which each number of `pooled` is
        taken, -1 in an empty bag without `default_row`.

    Raises
    ------
    IndexError
        If an index is negative or not below N, unless `invalid` is "skip".
    ValueError
        If a shape, the offsets, or the value or combination of arguments is wrong, or an entry is
        masked or null.
    TypeError
        If indices or offsets are not integers, the dtype of `weight` is not supported, or
        `max_norm` would change a QuantizedTable.

    Notes
    -----
    With e_i the row and w_i the weight of a bag's lookup i, and all sums taken in bag order,

    ======== ================= ===================================
    mode     without weights   with weights
    ======== ================= ===================================
    sum      Σ e_i             Σ w_i e_i
    mean     Σ e_i / count     Σ w_i e_i / Σ w_i, 0 where Σ w_i = 0
    sqrtn    Σ e_i / √count    Σ w_i e_i / √Σ w_i², 0 where 0 / 0
    max, min elementwise       not defined
    ======== ================= ===================================

    float16 and bfloat16 tables are added up in float32 and rounded once. Bags of more than 512
    lookups are added up in parts of 512, whose sums are added in float64: rounding errors do not
    grow with the bag. In max and min the first of equal values is taken and NaN propagates. Cost:
    n·D additions and one read of each row per lookup; memory: the result, B·D, and `max_indices`.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.arange(1.0, 11.0).reshape(5, 2)
    >>> ebagx.embedding_bag([3, 1, 1, 1, 4, 0], table, offsets=[0, 3], mode="sum")
    array([[13., 16.],
           [13., 16.]])
    >>> ebagx.embedding_bag([[3, 1, 1], [1, 4, 0]], table, mode="max", return_indices=True)
    (array([[ 7.,  8.],
           [ 9., 10.]]), array([[3, 3],
           [4, 4]]))
    """
    table = Table.of(weight)
    options = checked_options(
        table.num_rows,
        mode=mode,
        max_norm=max_norm,
        norm_type=norm_type,
        scale_grad_by_freq=scale_grad_by_freq,
        include_last_offset=include_last_offset,
        padding_idx=padding_idx,
        num_threads=num_threads,
        invalid=invalid,
        default_row=default_row,
    )
    if return_indices is not False:
        check_flag(return_indices, "return_indices")
    if return_indices and not options.mode.is_extreme:
        names = " or ".join(map(repr, EXTREME_MODES))
        raise ValueError(f"return_indices needs mode {names}, got {mode!r}")
    if out is None:
        plain = plain_bags(input, offsets, per_sample_weights, table, options)
        done = None if plain is None else pool_plainly(plain, table, options)
        if done is not None:
            return done[0]
    bags, source = bags_for(input, offsets, per_sample_weights, table, options)
    pooled, winners = pooled_bags(bags, source, table, options, out)
    return (pooled, winners) if return_indices else pooled


def pooled_bags(
    bags: Bags, source: Source, table: Table, options: Options, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check indices and `out`, then pool; return pooled bags and, in max and min, their rows."""
    mode, max_norm, num_threads = options.mode, options.max_norm, options.num_threads
    kept, checks_in_pass = bags, False
    if options.selects:
        kept, inside = select_lookups(
            bags, table.num_rows, options.padding_idx, options.default_row
        )
        if not inside and options.invalid == RAISE:
            raise_bad_source(source, table.num_rows)
    else:
        # A check of the indices takes a tenth of the time of pooling small rows in the cache. The
        # pass itself can make it where it changes no array of the caller.
        checks_in_pass = (
            out is None and max_norm is None and not mode.is_extreme and 0 not in table.shape
        )
        if not checks_in_pass:
            check_indices(bags, source, table.num_rows, num_threads)
    if out is not None:
        check_out(out, (bags.num_bags, table.dim), table.dtype, (table.array, *bags))
    if max_norm is not None:
        table.check_writeable("max_norm")
        passes.renorm(kept, bags, table, options)
    return passes.forward(kept, table, mode, out, num_threads, source if checks_in_pass else None)


def embedding_bag_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    offsets: Any = None,
    *,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool | str = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    max_indices: Any = None,
    per_sample_weights_grad: bool | None = None,
    weight_grad: bool = True,
    out: np.ndarray | None = None,
    num_threads: int | None = None,
    invalid: str = "raise",
    default_row: int | None = None,
) -> EmbeddingBagGradients:
    r"""Return the gradients of `embedding_bag` for a gradient of its result.

    Parameters
    ----------
    grad_output : array_like of shape (B, D)
        Gradient with respect to the pooled bags.
    input, weight, offsets, mode, per_sample_weights, include_last_offset, padding_idx
        As they were given to `embedding_bag`.
    num_threads, invalid, default_row
        As they were given to `embedding_bag`.
    scale_grad_by_freq : bool, default=False
        Divide the gradient of each row by the number of its occurrences in `input`.
    sparse : {False, True, "rows"}, default=False
        The form of the table's gradient: a dense array; a ``scipy.sparse.bsr_array`` of (1, D)
        blocks; or a `RowGradient`, the touched rows and their values.
    max_indices : array_like of int of shape (B, D), optional
        The `max_indices` of `embedding_bag`, in the modes max and min. By default they are computed
        again. Those of an empty bag are not read; a row that is not in its bag is a ValueError.
    per_sample_weights_grad : bool, optional
        Compute the gradient of the weights. By default, if `per_sample_weights` is given. For
        sparse input it is the gradient of the stored values, in CSR order.
    weight_grad : bool, default=True
        False computes the gradient of the weights alone: nothing is allocated for the table, and
        `sparse` has no effect.
    out : ndarray of shape (N, D), optional
        Array for a dense gradient (``sparse=False``), of its dtype.

    Returns
    -------
    EmbeddingBagGradients
        Named tuple ``(weight, per_sample_weights)``. Both are in the dtype of `weight`, float32
        for float16 and bfloat16 tables. `weight` is None with ``weight_grad=False``.
        `per_sample_weights` has the shape of that argument, is flat for ragged weights and sparse
        matrices, and None if it was not computed.

    Raises
    ------
    IndexError, ValueError, TypeError
        As `embedding_bag`, and ValueError for a `grad_output` of another shape, or if no gradient
        is wanted. TypeError for the gradient of a QuantizedTable: it needs ``weight_grad=False``.

    Notes
    -----
    A row's gradient is Σ s_i g_b(i) over its occurrences, in order of occurrence, with
    s_i = w_i / divisor / count, where the divisor is that of the mode and count is 1, or the
    row's number of occurrences with `scale_grad_by_freq`. In the modes max and min the gradient of
    each number goes to the row from which that number is taken. The padding row gets none, and
    gradients of empty bags are not read. With `default_row`, that of an empty bag goes to this row,
    unless it is the padding row. Skipped lookups get no gradient, nor do their weights. The result
    has the same bits for every number of threads.

    Cost: a sort of the n lookups and n·D additions. Nothing of size N·D is allocated unless
    the gradient is dense.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.arange(1.0, 11.0).reshape(5, 2)
    >>> bags = [[3, 1, 1], [1, 4, 0]]
    >>> grad_output = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> ebagx.embedding_bag_backward(grad_output, bags, table, mode="sum").weight
    array([[3., 4.],
           [5., 8.],
           [0., 0.],
           [1., 2.],
           [3., 4.]])
    >>> gradient = ebagx.embedding_bag_backward(grad_output, bags, table, mode="sum", sparse="rows")
    >>> gradient.weight.rows
    array([0, 1, 3, 4])
    """
    sparse = check_sparse(sparse)
    check_flag(weight_grad, "weight_grad")
    if per_sample_weights_grad is not None:
        check_flag(per_sample_weights_grad, "per_sample_weights_grad", OR_NONE)
    table = Table.of(weight)
    options = checked_options(
        table.num_rows,
        mode=mode,
        scale_grad_by_freq=scale_grad_by_freq,
        include_last_offset=include_last_offset,
        padding_idx=padding_idx,
        num_threads=num_threads,
        invalid=invalid,
        default_row=default_row,
    )
    how = options.mode
    if weight_grad:
        table.check_trainable("the gradient of the table (weight_grad=True)")
    bags, source = bags_for(input, offsets, per_sample_weights, table, options)
    if options.invalid == RAISE:
        check_indices(bags, source, table.num_rows, options.num_threads)
    shape = bags.num_bags, table.dim
    grad = check_grad_output(grad_output, shape, table.sum_dtype)
    winners = None
    if how.is_extreme and max_indices is not None:
        winners = check_max_indices(max_indices, shape, table.num_rows, bags.indices.dtype)
    elif max_indices is not None:
        raise ValueError(f"max_indices must be None in mode {mode!r}")
    if per_sample_weights_grad is None:
        per_sample_weights_grad = per_sample_weights is not None or not weight_grad
    _check_wanted(weight_grad, per_sample_weights_grad, source, options)
    if out is not None:
        if sparse or not weight_grad:
            why = f"sparse={sparse!r}" if weight_grad else "weight_grad=False"
            raise ValueError(f"out must be None for {why}, it takes a dense gradient")
        read = [array for array in (table.array, grad, winners, *bags) if array is not None]
        check_out(out, table.shape, grad.dtype, read)
    backward = Backward(grad, bags, table, winners, options)
    if winners is not None:
        backward = backward.selected()
        check_winners(winners, backward.bags.indices, backward.bags.offsets)
    of_table: Any = None
    if weight_grad and sparse:
        of_table = RowGradient._of(*row_gradient(backward), table.shape).to_form(sparse)
    elif weight_grad:
        of_table = DenseGradient(table.shape, grad.dtype, out).add(backward).total
    of_weights = None
    if per_sample_weights_grad:
        assert source.weights is not None
        of_weights = weights_gradient(backward).reshape(source.weights.shape)
    return EmbeddingBagGradients(of_table, of_weights)


def _check_wanted(of_table: bool, of_weights: bool, source: Source, options: Options) -> None:
    """Raise ValueError unless some gradient is wanted, and that of the weights exists if it is."""
    if not of_weights:
        if not of_table:
            raise ValueError("weight_grad=False needs per_sample_weights_grad=True or None")
        return
    if options.mode.is_extreme or source.weights is None:
        names = ", ".join(map(repr, WEIGHTED_MODES))
        asked = "per_sample_weights_grad=True" if of_table else "weight_grad=False"
        raise ValueError(f"{asked} needs weights and a mode of {names}")


def csr_from_bags(
    input: Any,
    num_embeddings: int,
    offsets: Any = None,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
) -> scipy.sparse.csr_array:
    r"""Return bags of any form as a sparse matrix: row = bag, column = index, value = weight.

    Estimators take such a matrix, and `embedding_bag` takes it as `input`.

    Parameters
    ----------
    input, offsets, per_sample_weights, include_last_offset
        As in `embedding_bag`.
    num_embeddings : int
        Number of columns N of the matrix.

    Returns
    -------
    csr_array of shape (B, N), float32 or float64
        It shares memory with `input`, `offsets` and `per_sample_weights` where they have dtypes
        that fit: the indices int32 or int64, the offsets the same and B + 1 of them, the weights
        float32 or float64. Others are cast. Without weights, the values are ones in float32.

    Raises
    ------
    IndexError
        If an index is negative or not below N.
    ValueError, TypeError
        As `embedding_bag`.

    Notes
    -----
    The order of a bag and its duplicates are kept, and nothing is added up; SciPy's own operations
    may add duplicates up, or sort. The memory of Arrow columns is read-only: ``copy()`` the matrix
    before you change it in place, as ``sum_duplicates()`` does.

    Cost: one read of indices and offsets; memory: the ones.

    Examples
    --------
    >>> import ebagx
    >>> ebagx.csr_from_bags([[3, 1, 1], [], [2]], 4).indices
    array([3, 1, 1, 2])
    >>> ebagx.csr_from_bags([[3, 1, 1], [], [2]], 4).toarray()
    array([[0., 2., 0., 1.],
           [0., 0., 0., 0.],
           [0., 0., 1., 0.]], dtype=float32)
    """
    num_rows = check_size(num_embeddings, "num_embeddings")
    bags, source = as_bags(
        input,
        offsets,
        per_sample_weights,
        include_last_offset=include_last_offset,
        num_rows=num_rows,
        sums=None,
    )
    check_indices(bags, source, num_rows, None, can_skip=False)
    values = bags.weights
    if source.weights is None:
        values = np.ones(len(bags.indices), values.dtype)
    matrix = scipy.sparse.csr_array((bags.num_bags, num_rows), dtype=values.dtype)
    # SciPy's constructor may copy indices to another dtype.
    matrix.data, matrix.indices, matrix.indptr = values, bags.indices, bags.offsets
    return matrix
