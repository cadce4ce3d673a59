"""`Bags` is the one internal form of bags; `as_bags` makes it from every accepted input."""

from typing import Any, NamedTuple, NoReturn

import numpy as np

from ebagx._core.arguments import LEAVES_OUT, SKIP
from ebagx._core.checks import as_real, raise_bad_index, raise_missing
from ebagx._core.dtypes import SUM_DTYPES, nearest_sum_dtype
from ebagx._core.forms import take_apart
from ebagx._core.forms.source import INT32_MAX, Source
from ebagx._core.layout import as_contiguous, as_indices
from ebagx._core.levels import kernels
from ebagx._core.memory import check_mapped
from ebagx._core.options import Options
from ebagx._core.table import Table
from ebagx._core.threads import thread_count

NO_WEIGHTS = {dtype: np.empty(0, dtype) for dtype in SUM_DTYPES}


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

    def check_mapped(self) -> None:
        """Raise ValueError if an array is in a memory map whose file has become shorter."""
        check_mapped(self.indices, "indices")
        check_mapped(self.offsets, "offsets")
        check_mapped(self.weights, "weights")


def as_bags(
    input: Any,
    offsets: Any,
    per_sample_weights: Any,
    *,
    include_last_offset: bool = False,
    num_rows: int,
    sums: np.dtype[Any] | None,
    invalid: str | None = None,
) -> tuple[Bags, Source]:
    """Return any accepted input as bags over a table, and its `Source`, for error messages.

    Parameters
    ----------
    input, offsets, per_sample_weights, include_last_offset
        As in `embedding_bag`.
    num_rows : int
        Number of rows N of the table.
    sums : dtype
        The dtype of sums over its rows, and so of the weights. None: that of sums over a table of
        the dtype of the given weights.
    invalid : {"raise", "skip"} or None
        With "skip", indices without a value become invalid ones. They raise otherwise; None if the
        caller has no such option.

    Notes
    -----
    Everything is checked except that indices are inside the table: `check_indices` or a pass over
    the table must check that.
    """
    source = take_apart(input, offsets, per_sample_weights, include_last_offset, num_rows)
    if source.missing is not None:
        source = _with_invalid(source, *source.missing, invalid)
    return _normalised(source, sums), source


def bags_for(
    input: Any, offsets: Any, per_sample_weights: Any, table: Table, options: Options
) -> tuple[Bags, Source]:
    """Return what `as_bags` does, without weights in the modes max and min.

    Indices and offsets are int64 if lookups of `default_row` need it.
    """
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
        invalid=options.invalid,
    )
    return _for_pass(bags, options), source


def bags_of(source: Source, table: Table, options: Options) -> Bags:
    """Return what `bags_for` does for an input that has been read and misses no index."""
    return _for_pass(_normalised(source, table.sum_dtype), options)


def _for_pass(bags: Bags, options: Options) -> Bags:
    default_row = options.default_row
    if default_row is not None and max(len(bags.indices) + bags.num_bags, default_row) > INT32_MAX:
        indices, ends = (array.astype(np.int64, copy=False) for array in bags[:2])
        bags = Bags(indices, ends, bags.weights)
    return without_weights(bags) if options.mode.is_extreme else bags


def check_indices(
    bags: Bags, source: Source, num_rows: int, num_threads: int | None, can_skip: bool = True
) -> None:
    """Raise IndexError unless every index is in [0, num_rows)."""
    threads = thread_count(num_threads, len(bags.indices))
    if not kernels.indices_valid(bags.indices, num_rows, threads):
        raise_bad_source(source, num_rows, can_skip)


def raise_bad_source(source: Source, num_rows: int, can_skip: bool = True) -> NoReturn:
    """Raise IndexError for the first index that is not in [0, num_rows).

    `can_skip` says that the caller has the option `invalid`.
    """
    ends = source.offsets if source.is_list else None
    raise_bad_index(source.indices, source.name, num_rows, ends, can_skip)


def without_weights(bags: Bags) -> Bags:
    """Return the same bags with every weight 1."""
    return bags._replace(weights=bags.weights[:0])


def select_lookups(
    bags: Bags, num_rows: int, padding_idx: int | None, default_row: int | None = None
) -> tuple[Bags, bool]:
    """Return bags of the lookups that count, and whether every index is in [0, num_rows).

    Lookups of the padding row and outside the table are left out. A bag that is left empty gets one
    lookup of `default_row`, with weight 1.
    """
    indices, offsets, weights = bags
    most = len(indices) if default_row is None else len(indices) + bags.num_bags
    kept_indices, kept_offsets = np.empty(most, indices.dtype), np.empty_like(offsets)
    kept_weights = np.empty(most if len(weights) else 0, weights.dtype)
    inside = kernels.select_lookups(
        kept_indices,
        kept_offsets,
        kept_weights,
        indices,
        offsets,
        weights,
        num_rows,
        -1 if padding_idx is None else padding_idx,
        -1 if default_row is None else default_row,
    )
    n = kept_offsets[-1]
    return Bags(kept_indices[:n], kept_offsets, kept_weights[:n]), inside


def are_kept(bags: Bags, num_rows: int, padding_idx: int | None) -> np.ndarray:
    """Return for each lookup whether `select_lookups` keeps it."""
    inside = (bags.indices >= 0) & (bags.indices < num_rows)
    return inside if padding_idx is None else inside & (bags.indices != padding_idx)


def _with_invalid(source: Source, mask: np.ndarray, word: str, invalid: str | None) -> Source:
    """Return the source with an invalid index for each missing one, or raise ValueError."""
    if invalid != SKIP:
        ends = source.offsets if source.is_list else None
        way_out = "drop or replace it" + f"; {LEAVES_OUT}" * (invalid is not None)
        raise_missing(mask, word, source.name, ends, way_out)
    indices = as_indices(source.indices)
    return source._replace(indices=np.where(mask, indices.dtype.type(-1), indices))


def _normalised(source: Source, sums: np.dtype[Any] | None) -> Bags:
    """Return the bags in the layout and dtypes that kernels take."""
    if sums is None:
        sums = SUM_DTYPES[0] if source.weights is None else nearest_sum_dtype(source.weights.dtype)
    indices = as_indices(source.indices)
    if indices.ndim == 2:
        indices = indices.reshape(-1)
    if len(indices) > INT32_MAX or len(source.offsets) > INT32_MAX:
        indices = indices.astype(np.int64, copy=False)
    offsets = source.offsets
    if offsets.dtype != indices.dtype:
        offsets = offsets.astype(indices.dtype)
    if source.weights is None:
        return Bags(indices, offsets, NO_WEIGHTS[sums])
    weights = as_contiguous(as_real(source.weights, source.weights_name, sums))
    return Bags(indices, offsets, weights.reshape(-1))
