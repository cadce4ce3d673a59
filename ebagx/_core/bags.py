"""`Bags` is the one internal form of bags; `as_bags` makes it from every accepted input."""

from typing import Any, NamedTuple, NoReturn

import numpy as np

from ebagx._core.checks import as_real, raise_bad_index
from ebagx._core.dtypes import SUM_DTYPES
from ebagx._core.forms import take_apart
from ebagx._core.forms.source import INT32_MAX, Source
from ebagx._core.layout import as_contiguous, as_indices
from ebagx._core.levels import kernels
from ebagx._core.options import Options
from ebagx._core.table import Table
from ebagx._core.threads import thread_count

_NO_WEIGHTS = {dtype: np.empty(0, dtype) for dtype in SUM_DTYPES}


class Bags(NamedTuple):
    """Bags in CSR form: bag b holds the lookups ``offsets[b]`` to ``offsets[b + 1]``.

    `indices` (n,) and `offsets` (B + 1,) are contiguous, both int32 or both int64. `weights` is
    (n,) in the dtype of the sums, or empty if every weight is 1.
    """

    indices: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    @property
    def num_bags(self) -> int:
        """The number of bags B."""
        return len(self.offsets) - 1


def as_bags(
    input: Any,
    offsets: Any,
    per_sample_weights: Any,
    *,
    include_last_offset: bool = False,
    num_rows: int,
    sums: np.dtype[Any],
) -> tuple[Bags, Source]:
    """Return any accepted input as bags over a table, and its `Source`, for error messages.

    Parameters
    ----------
    input, offsets, per_sample_weights, include_last_offset
        As in `embedding_bag`.
    num_rows : int
        Number of rows N of the table.
    sums : dtype
        The dtype of sums over its rows, and so of the weights.

    Notes
    -----
    Everything is checked except that indices are inside the table: `check_indices` or a pass over
    the table must check that.
    """
    source = take_apart(input, offsets, per_sample_weights, include_last_offset, num_rows)
    return _normalised(source, sums), source


def bags_for(
    input: Any, offsets: Any, per_sample_weights: Any, table: Table, options: Options
) -> tuple[Bags, Source]:
    """Return what `as_bags` does, without weights in the modes max and min."""
    mode = options.mode
    if mode.is_extreme and per_sample_weights is not None:
        raise ValueError(f"per_sample_weights must be None in mode {mode.name!r}")
    bags, source = as_bags(
        input,
        offsets,
        per_sample_weights,
        include_last_offset=options.include_last_offset,
        num_rows=table.num_rows,
        sums=table.sum_dtype,
    )
    return (without_weights(bags) if mode.is_extreme else bags), source


def check_indices(bags: Bags, source: Source, num_rows: int, num_threads: int | None) -> None:
    """Raise IndexError unless every index is in [0, num_rows)."""
    threads = thread_count(num_threads, len(bags.indices))
    if not kernels.indices_valid(bags.indices, num_rows, threads):
        raise_bad_source(source, num_rows)


def raise_bad_source(source: Source, num_rows: int) -> NoReturn:
    """Raise IndexError for the first index that is not in [0, num_rows)."""
    ends = source.offsets if source.is_list else None
    raise_bad_index(source.indices, source.name, num_rows, ends)


def without_weights(bags: Bags) -> Bags:
    """Return the same bags with every weight 1."""
    return bags._replace(weights=bags.weights[:0])


def without_padding(bags: Bags, padding_idx: int | None) -> Bags:
    """Return the bags without the lookups of the padding row."""
    if padding_idx is None:
        return bags
    kept = Bags(*map(np.empty_like, bags))
    kernels.drop_padding(*kept, *bags, padding_idx)
    n = kept.offsets[-1]
    return Bags(kept.indices[:n], kept.offsets, kept.weights[:n])


def _normalised(source: Source, sums: np.dtype[Any]) -> Bags:
    """Return the bags in the layout and dtypes that kernels take."""
    indices = as_indices(source.indices)
    if indices.ndim == 2:
        indices = indices.reshape(-1)
    if len(indices) > INT32_MAX or len(source.offsets) > INT32_MAX:
        indices = indices.astype(np.int64, copy=False)
    offsets = source.offsets
    if offsets.dtype != indices.dtype:
        offsets = offsets.astype(indices.dtype)
    if source.weights is None:
        return Bags(indices, offsets, _NO_WEIGHTS[sums])
    weights = as_contiguous(as_real(source.weights, source.weights_name, sums))
    return Bags(indices, offsets, weights.reshape(-1))
