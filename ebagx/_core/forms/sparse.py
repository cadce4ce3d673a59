"""Read SciPy matrices as CSR, and check their structure first.

A matrix that was made or changed by hand may be inconsistent. SciPy converts it without a check
and may then read and write outside its arrays: so everything is checked before SciPy gets it.
"""

from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse

from ebagx._core.checks import as_integer_array, as_real, check_integers, sequence_lengths
from ebagx._core.dtypes import SUM_DTYPES
from ebagx._core.forms.source import Source, must_be_none, valid_offsets
from ebagx._core.memory import check_mapped

_FLOAT64 = np.dtype(np.float64)

CsrParts = tuple[np.ndarray, np.ndarray, np.ndarray]


def is_sparse(input: Any) -> bool:
    """Return whether an input is a SciPy matrix or array."""
    return not isinstance(input, np.ndarray) and scipy.sparse.issparse(input)


def from_sparse(input: Any, offsets: Any, per_sample_weights: Any, num_rows: int) -> Source:
    """Return the `Source` of a SciPy matrix: row = bag, column = index, value = weight."""
    must_be_none(offsets, "offsets", "sparse input, whose rows are the bags")
    must_be_none(per_sample_weights, "per_sample_weights", "sparse input, whose values they are")
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
    # SciPy allows unused space after the last entry.
    stored = min(len(indices), len(values), max(int(indptr[-1]), 0))
    ends = valid_offsets(indptr, "input.indptr", stored, True)
    return Source("input.indices", indices[:stored], ends, values[:stored], "input.data")


def csr_parts(matrix: Any, name: str) -> CsrParts:
    """Return indptr, indices and data of a matrix of any format as CSR, duplicates kept.

    Of CSR itself only the dimensions are checked: the caller must check the rest.
    """
    if matrix.format == "csr":
        parts = (("indptr", matrix.indptr), ("indices", matrix.indices), ("data", matrix.data))
        indptr, indices, data = (_one_axis(part, f"{name}.{of}") for of, part in parts)
        return indptr, indices, data
    if matrix.format in ("csc", "bsr"):
        return _from_compressed(matrix, name)
    if matrix.format == "lil":
        return _from_lists_of_lists(matrix, name)
    return _from_coordinates(matrix, name)


def sound_csr(matrix: Any, name: str, dtype: Any = None) -> Any:
    """Return a matrix of any format as consistent CSR; the arrays of CSR are not copied.

    `dtype` converts the data here. SciPy would first add up duplicates, in the caller's arrays.
    """
    indptr, indices, data = csr_parts(matrix, name)
    if matrix.format in ("csr", "lil"):  # the others were checked when they were converted
        check_integers(indptr, f"{name}.indptr")
        check_integers(indices, f"{name}.indices")
        stored = _check_structure(indptr, indices, data, matrix.shape, name)
        indices, data = indices[:stored], data[:stored]
    if dtype is not None:
        data = as_real(data, f"{name}.data", np.dtype(dtype))
    return scipy.sparse.csr_array((data, indices, indptr), shape=matrix.shape)


def _one_axis(values: Any, name: str) -> np.ndarray:
    array: np.ndarray = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got {array.ndim}-D")
    check_mapped(array, name)
    return array


def _as_native(array: np.ndarray, name: str) -> np.ndarray:
    """Return values in a dtype that SciPy can convert."""
    return as_real(array, name, array.dtype if array.dtype in SUM_DTYPES else _FLOAT64)


def _from_compressed(matrix: Any, name: str) -> CsrParts:
    """Convert CSC or BSR by way of a new matrix of checked arrays."""
    data = _as_native(np.asarray(matrix.data), f"{name}.data")
    blocked = matrix.format == "bsr"
    block: tuple[int, ...] = data.shape[1:] if blocked else (1, 1)
    if data.ndim != (3 if blocked else 1) or 0 in block:
        raise ValueError(f"{name}.data cannot have shape {data.shape} in format {matrix.format!r}")
    sizes = [size // width for size, width in zip(matrix.shape, block, strict=True)]
    if blocked and any(size % width for size, width in zip(matrix.shape, block, strict=True)):
        raise ValueError(f"{name} of shape {matrix.shape} cannot have blocks of shape {block}")
    shape = tuple(sizes if blocked else reversed(sizes))
    indptr = as_integer_array(_one_axis(matrix.indptr, f"{name}.indptr"), f"{name}.indptr")
    indices = as_integer_array(_one_axis(matrix.indices, f"{name}.indices"), f"{name}.indices")
    stored = _check_structure(indptr, indices, data, shape, name)
    make = scipy.sparse.bsr_array if blocked else scipy.sparse.csc_array
    parts = data[:stored], indices[:stored].astype(np.int64), indptr.astype(np.int64)
    converted: Any = make(parts, shape=matrix.shape).tocsr()
    return converted.indptr, converted.indices, converted.data


def _check_structure(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, shape: tuple[int, ...], name: str
) -> int:
    """Raise ValueError unless CSR arrays are consistent; return the number of entries."""
    major, minor = shape
    if len(indptr) != major + 1 or indptr[0] != 0 or np.any(indptr[1:] < indptr[:-1]):
        raise ValueError(f"{name}.indptr must have {major + 1} entries, from 0 without decreasing")
    stored = int(indptr[-1])
    if stored > min(len(indices), len(data)):
        raise ValueError(f"{name}.indptr[-1] = {stored} is beyond the entries of {name}")
    _check_range(indices[:stored], minor, f"{name}.indices")
    return stored


def _from_lists_of_lists(matrix: Any, name: str) -> CsrParts:
    lengths = sequence_lengths(matrix.rows, f"{name}.rows")
    if lengths != sequence_lengths(matrix.data, f"{name}.data"):
        raise ValueError(f"{name}.data must have lists as long as those of {name}.rows")
    indptr = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    indices = as_integer_array(list(chain.from_iterable(matrix.rows)), f"{name}.rows")
    data = np.asarray(list(chain.from_iterable(matrix.data)))
    return indptr, _one_axis(indices, f"{name}.rows"), _one_axis(data, f"{name}.data")


def _from_coordinates(matrix: Any, name: str) -> CsrParts:
    """Convert the other formats by way of COO, sorted by row."""
    if matrix.format == "dok":
        keys = as_integer_array(list(matrix.keys()), f"the keys of {name}").reshape(-1, 2)
        row, column, data = keys[:, 0], keys[:, 1], np.asarray(list(matrix.values()))
    else:
        if matrix.format == "dia":
            offsets = as_integer_array(matrix.offsets, f"{name}.offsets")
            data = np.asarray(matrix.data)
            check_mapped(data, f"{name}.data")
            matrix = scipy.sparse.dia_array((data, offsets), shape=matrix.shape)
        coo = matrix.tocoo()
        row = _one_axis(coo.row, f"{name}.row")
        column = _one_axis(coo.col, f"{name}.col")
        data = _one_axis(coo.data, f"{name}.data")
    check_integers(row, f"{name}.row")
    check_integers(column, f"{name}.col")
    if not len(row) == len(column) == len(data):
        raise ValueError(
            f"{name}.row, {name}.col and {name}.data must have the same length, "
            f"got {len(row)}, {len(column)} and {len(data)}"
        )
    for size, of, entries in zip(matrix.shape, ("row", "col"), (row, column), strict=True):
        _check_range(entries, size, f"{name}.{of}")
    order = np.argsort(row, kind="stable")
    indptr = np.zeros(matrix.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(row.astype(np.int64), minlength=matrix.shape[0]), out=indptr[1:])
    return indptr, column[order], data[order]


def _check_range(entries: np.ndarray, limit: int, name: str) -> None:
    if len(entries) and not (entries.min() >= 0 and entries.max() < limit):
        raise ValueError(f"{name} must be in [0, {limit})")
