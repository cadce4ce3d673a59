"""Make inconsistent SciPy matrices, whose arrays are set by hand."""

import copy
from typing import Any

import numpy as np
import scipy.sparse

from fuzz.calls import SPARSE_FORMS, Call, Errors
from fuzz.source import Source

FAR = (-1, 2**31 - 1, -(2**31), 10**6, 200)
PARTS = {
    "csr": ("indptr", "indices", "data"),
    "csc": ("indptr", "indices", "data"),
    "bsr": ("indptr", "indices", "data"),
    "coo": ("row", "col", "data"),
    "lil": ("rows", "data"),
    "dia": ("offsets", "data"),
}
ANY_ERROR = (ValueError, TypeError, IndexError)


def spoil_sparse(source: Source, call: Call) -> Errors | None:
    """Make a sparse matrix wrong."""
    if call.form not in SPARSE_FORMS:
        return None
    kind = source.below(8)
    matrix = call.arguments["input"] = copy.copy(call.arguments["input"])
    if kind == 0:
        shape = (matrix.shape[0], matrix.shape[1] + 1)
        call.arguments["input"] = source.choice(
            (scipy.sparse.csr_array(shape), scipy.sparse.coo_array(shape))
        )
        return (ValueError,)
    if kind == 1:
        name = source.choice(("offsets", "per_sample_weights"))
        call.arguments[name] = np.zeros(1 + call.num_lookups)
        return (ValueError,)
    if kind == 2:
        matrix = _diagonals(source, call)
    elif matrix.format == "dok":
        return _bad_keys(source, matrix)
    elif kind == 3 and matrix.format == "csr":
        return _bad_csr_shape(source, matrix)
    call.may_pass = True
    spoiled = copy.deepcopy(matrix) if matrix.format == "lil" else matrix
    call.arguments["input"] = spoiled
    name = source.choice(PARTS[spoiled.format])
    if spoiled.format == "lil":
        _spoil_lists(source, getattr(spoiled, name), call)
    else:
        part = np.array(getattr(spoiled, name))
        if spoiled.format == "coo" and isinstance(getattr(spoiled, "coords", None), tuple):
            _set_coordinates(spoiled, name, _spoiled(source, part))
        else:
            setattr(spoiled, name, _spoiled(source, part))
    if spoiled.format == "csr" and name == "indices" and _in_use_is_wrong(spoiled, call):
        call.may_pass = False
    return ANY_ERROR


def _in_use_is_wrong(matrix: Any, call: Call) -> bool:
    used = np.asarray(matrix.indices).reshape(-1)[: call.num_lookups]
    if len(used) < call.num_lookups or used.dtype.kind not in "iu":
        return True
    if call.invalid == "skip" or not len(used):
        return False
    return not (used.min() >= 0 and used.max() < len(call.table))


def _spoiled(source: Source, part: np.ndarray) -> Any:
    """Return an array with something wrong, often."""
    kind = source.below(8)
    if kind <= 2 and part.size:
        part = part.copy()
        for _ in range(source.between(1, 3)):
            value = source.choice((*FAR, part.size, part.size + 1, 0, 1))
            part.flat[source.below(part.size)] = value
        return part
    if kind == 3:
        return part[: max(len(part) - source.between(1, 3), 0)]
    if kind == 4:
        return np.concatenate([part, part, part])
    if kind == 5:
        return part.astype(source.choice(("f8", "?", "i1", "u8", ">i4", "O", "c16", "U4", "f4")))
    if kind == 6:
        return part[source.choice((np.newaxis, (..., np.newaxis)))]
    return source.choice((part.tolist(), part[::-1], None, np.array(0), part.astype("i8"), 7))


def _set_coordinates(matrix: Any, name: str, part: Any) -> None:
    """Set the rows or columns of a COO matrix past its own checks."""
    if name == "data":
        matrix.data = part
        return
    coords = list(matrix.coords)
    coords[name == "col"] = part
    matrix.coords = tuple(coords)


def _spoil_lists(source: Source, lists: np.ndarray, call: Call) -> None:
    if not len(lists):
        return
    b = source.below(len(lists))
    wrong: tuple[Any, ...] = (
        [0] * 50, [-1], [10**6], [2**40], [0.5], ["a"], [None], None, 7, [*lists[b], 0],
        lists[b][:-1], [len(call.table)], (0,), [10**30], [[0]], np.array([0, 1]),
    )  # fmt: skip
    lists[b] = source.choice(wrong)


def _bad_keys(source: Source, matrix: Any) -> Errors:
    """Put keys into a dictionary of keys that its own checks would reject."""
    matrix._dict = dict(matrix._dict)
    key = source.choice(((0, 10**6), (10**6, 0), (-1, 0), (0, -1), (2**40, 2**40)))
    matrix._dict[key] = 1.0
    return ANY_ERROR


def _bad_csr_shape(source: Source, matrix: Any) -> Errors:
    rows, columns = matrix.shape
    other_rows = 0 if rows else 5
    matrix._shape = source.choice(
        ((rows + 1, columns), (rows, columns + 1), (2**40, columns), (other_rows, columns))
    )
    return ANY_ERROR


def _diagonals(source: Source, call: Call) -> Any:
    shape = len(call.bags), len(call.table)
    if 0 in shape:
        return scipy.sparse.csr_array(shape)
    data = np.ones((2, source.between(1, max(shape))))
    return scipy.sparse.dia_array((data, [0, source.choice((1, -1))]), shape=shape)
