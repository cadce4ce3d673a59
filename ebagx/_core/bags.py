"""The one internal form of bags, and how every accepted input becomes it."""

from itertools import chain
from typing import Any, NamedTuple, NoReturn

import numpy as np
import scipy.sparse

from ebagx._dispatch import kernels, real_dtype
from ebagx._sparse import csr_parts
from ebagx._threads import thread_count
from ebagx._validate import (
    as_contiguous,
    as_indices,
    as_integer_array,
    as_real,
    check_integers,
    raise_bad_index,
    raise_bad_offsets,
    sequence_lengths,
)

_INT32_MAX = 2**31 - 1
_NO_WEIGHTS = {dtype: np.empty(0, dtype) for dtype in (np.dtype("f4"), np.dtype("f8"))}


class Bags(NamedTuple):
    """Bags in CSR form: bag b holds the lookups ``offsets[b]`` to ``offsets[b + 1]``.

    `indices` (n,) and `offsets` (B + 1,) are contiguous, both int32 or both int64. `weights` is
    (n,) in the dtype that sums are kept in, or empty when every weight is 1.
    """

    indices: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    @property
    def num_bags(self) -> int:
        """Number of bags B."""
        return len(self.offsets) - 1


class Source(NamedTuple):
    """An input taken apart, its indices still in the caller's shape and dtype."""

    name: str  # what an error message calls the indices
    indices: np.ndarray
    offsets: np.ndarray  # B + 1, from 0 to n without decreasing
    weights: np.ndarray | None
    weights_name: str = "per_sample_weights"
    is_list: bool = False  # the indices were flattened from a list of bags


def as_bags(
    input: Any,
    offsets: Any,
    per_sample_weights: Any,
    *,
    include_last_offset: bool,
    weight: np.ndarray,
) -> tuple[Bags, Source]:
    """Return any accepted input as bags over the rows of `weight`, and what it was made of.

    All has been checked but the indices: `check_indices` or a pass over the table must do it.
    """
    if isinstance(input, (list, tuple)) and _is_ragged(input, offsets):
        source = _from_lists(input, offsets, per_sample_weights)
    elif isinstance(input, np.ndarray) or not scipy.sparse.issparse(input):
        source = _from_array(input, offsets, per_sample_weights, include_last_offset)
    else:
        source = _from_sparse(input, offsets, per_sample_weights, len(weight))
    return _normalised(source, real_dtype(weight.dtype)), source


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


def _from_array(
    input: Any, offsets: Any, per_sample_weights: Any, include_last_offset: bool
) -> Source:
    """Take apart 1-D indices with offsets, or 2-D indices."""
    indices = as_integer_array(input, "input")
    weights = None
    if per_sample_weights is not None:
        weights = np.asarray(per_sample_weights)
        if weights.shape != indices.shape:
            raise ValueError(
                f"per_sample_weights must have input's shape {indices.shape}, got {weights.shape}"
            )
    if indices.ndim == 1:
        ends = _checked_offsets(offsets, len(indices), include_last_offset)
    elif indices.ndim == 2:
        _must_be_none(offsets, "offsets", "2-D input, whose rows are the bags")
        num_bags, length = indices.shape
        ends = np.arange(num_bags + 1, dtype=np.int64) * length
    else:
        raise ValueError(
            "input must be 1-D (with offsets), 2-D, a scipy.sparse matrix or a list of integer "
            f"sequences, got a {indices.ndim}-D array"
        )
    return Source("input", indices, ends, weights)


def _from_sparse(input: Any, offsets: Any, per_sample_weights: Any, num_rows: int) -> Source:
    """Take apart a scipy.sparse matrix: row = bag, column = index, value = weight."""
    _must_be_none(offsets, "offsets", "sparse input, whose rows are the bags")
    _must_be_none(per_sample_weights, "per_sample_weights", "sparse input, whose values they are")
    if input.ndim != 2 or input.shape[1] != num_rows:
        raise ValueError(
            f"sparse input must have shape (num_bags, {num_rows}) for {num_rows} embeddings, "
            f"got {input.shape}"
        )
    indptr, indices, values = csr_parts(input, "input")
    check_integers(indptr, "input.indptr")
    check_integers(indices, "input.indices")
    if len(indptr) != input.shape[0] + 1:
        raise ValueError(
            f"input.indptr must have {input.shape[0] + 1} entries for {input.shape[0]} rows, "
            f"got {len(indptr)}"
        )
    # SciPy allows spare room behind the last entry.
    stored = min(len(indices), len(values), max(int(indptr[-1]), 0))
    ends = _valid_offsets(indptr, "input.indptr", stored, True)
    return Source("input.indices", indices[:stored], ends, values[:stored], "input.data")


def _is_ragged(input: Any, offsets: Any) -> bool:
    """Return whether a list holds bags rather than indices."""
    if len(input) == 0:
        return offsets is None
    # Arrays, series and tensors have a length too, unless they are 0-D.
    sized = {kind for kind in set(map(type, input)) if hasattr(kind, "__len__")}
    return bool(sized) and any(
        type(entry) in sized and getattr(entry, "ndim", 1) > 0 for entry in input
    )


def _from_lists(input: Any, offsets: Any, per_sample_weights: Any) -> Source:
    """Take apart a list of integer sequences."""
    _must_be_none(offsets, "offsets", "a list of sequences, which are the bags")
    lengths = sequence_lengths(input, "input")
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    entries = _entries(input, "input must be a list of integer sequences")
    for kind in set(map(type, entries)):
        if not issubclass(kind, (int, np.integer)) or kind is bool:
            wrong = next(entry for entry in entries if type(entry) is kind)
            check_integers(np.asarray([wrong]), "input")
    _check_counted(entries, ends[-1], "input")
    try:
        indices = np.array(entries, np.int64)
    except OverflowError:
        indices = as_integer_array(entries, "input")
    weights = None
    if per_sample_weights is not None:
        if sequence_lengths(per_sample_weights, "per_sample_weights") != lengths:
            raise ValueError("per_sample_weights must have sequences as long as those of input")
        what = "per_sample_weights must be a list of sequences of numbers"
        values = _entries(per_sample_weights, what)
        _check_counted(values, ends[-1], "per_sample_weights")
        weights = np.asarray(values)
    return Source("input", indices, ends, weights, is_list=True)


def _entries(sequences: Any, what: str) -> list[Any]:
    """Return the entries of all sequences."""
    entries = list(chain.from_iterable(sequences))
    if any(issubclass(kind, (list, tuple, np.ndarray)) for kind in set(map(type, entries))):
        raise ValueError(f"{what}, got deeper nesting")
    return entries


def _check_counted(entries: list[Any], count: int, name: str) -> None:
    if len(entries) != count:
        raise ValueError(f"{name} has sequences with another length than number of entries")


def _checked_offsets(offsets: Any, num_lookups: int, include_last_offset: bool) -> np.ndarray:
    """Return offsets as B + 1 ends that run from 0 to n without decreasing."""
    if offsets is None:
        raise ValueError("offsets must be given for 1-D input")
    array = as_integer_array(offsets, "offsets")
    if array.ndim != 1:
        raise ValueError(f"offsets must be 1-D, got {array.ndim}-D")
    return _valid_offsets(array, "offsets", num_lookups, include_last_offset)


def _valid_offsets(
    offsets: np.ndarray, name: str, num_lookups: int, include_last_offset: bool
) -> np.ndarray:
    ends = as_indices(offsets)
    if include_last_offset:
        valid = len(ends) > 0 and kernels.offsets_valid(ends, num_lookups)
    else:
        starts = ends if num_lookups <= _INT32_MAX else ends.astype(np.int64, copy=False)
        ends = np.empty(len(starts) + 1, starts.dtype)
        valid = kernels.close_offsets(ends, starts, num_lookups)
    if not valid:
        raise_bad_offsets(offsets, name, num_lookups, include_last_offset)
    return ends


def _must_be_none(value: Any, name: str, why: str) -> None:
    if value is not None:
        raise ValueError(f"{name} must be None for {why}")


def _normalised(source: Source, real: np.dtype[Any]) -> Bags:
    """Return the bags in the layout and dtypes that kernels take."""
    indices = as_indices(source.indices)
    if indices.ndim == 2:
        indices = indices.reshape(-1)
    if len(indices) > _INT32_MAX or len(source.offsets) > _INT32_MAX:
        indices = indices.astype(np.int64, copy=False)
    offsets = source.offsets
    if offsets.dtype != indices.dtype:
        offsets = offsets.astype(indices.dtype)
    if source.weights is None:
        return Bags(indices, offsets, _NO_WEIGHTS[real])
    weights = as_contiguous(as_real(source.weights, source.weights_name, real))
    return Bags(indices, offsets, weights.reshape(-1))
