"""The dtype x level table: which compiled kernel serves which arrays. Nobody else asks."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from itertools import takewhile
from types import ModuleType
from typing import Any

import numpy as np

from ebagx import _cpu

# From slowest to fastest; a level is used where its module was built and the processor runs it.
_SUPPORTED: dict[str, Callable[[], bool]] = {
    "baseline": lambda: True,
    "avx2": _cpu.has_avx2,
    "avx512": _cpu.has_avx512,
}

# The fused types of each kernel, in the order of its arguments.
_AXES = {
    "indices_valid": ("index",),
    "offsets_valid": ("index",),
    "drop_padding": ("index", "real"),
    "pool": ("cell", "index", "real"),
    "extreme": ("cell", "index"),
    "extreme_gradient": ("real", "index"),
    "sort_lookups": ("index",),
    "group_rows": ("index",),
    "transpose_lookups": ("index", "real"),
    "number_rows": ("index",),
    "scatter": ("real", "index"),
    "weights_gradient": ("real", "cell", "index"),
    "renorm": ("cell", "index"),
    "add_rows": ("real", "index"),
    "clear_rows": ("real", "index"),
    "step_rows": ("cell", "real", "index"),
    "row_squares": ("real",),
}
KERNEL_NAMES = tuple(_AXES)

# C type of a table's cells, and the dtype its sums are kept in.
_CELLS: dict[np.dtype[Any], tuple[str, np.dtype[Any]]] = {
    np.dtype(np.float32): ("float", np.dtype(np.float32)),
    np.dtype(np.float64): ("double", np.dtype(np.float64)),
    np.dtype(np.float16): ("uint16_t", np.dtype(np.float32)),
}
_BITS = {"uint16_t": np.dtype(np.uint16), "int16_t": np.dtype(np.int16)}
_INDICES = {np.dtype(np.int32): "int32_t", np.dtype(np.int64): "int64_t"}
_REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

Kernel = Callable[..., Any]
Level = tuple[ModuleType, ...]  # of a level and those below, the fastest first


def available_levels() -> tuple[str, ...]:
    """Return the levels that were built and that this processor runs, fastest last."""
    return tuple(
        name
        for name, supported in _SUPPORTED.items()
        if supported() and importlib.util.find_spec(f"ebagx._kernels._{name}") is not None
    )


def _chosen_level() -> str:
    levels = available_levels()
    wanted = os.environ.get("EBAGX_LEVEL", "")
    if wanted and wanted not in levels:
        raise ImportError(
            f"EBAGX_LEVEL = {wanted!r} is not available here, the levels are: {', '.join(levels)}"
        )
    return wanted or levels[-1]


def load_level(name: str) -> Level:
    """Import the kernels of one level, which need not have all, and of those below.

    A level that was built and fails to load is an error.
    """
    below = takewhile(lambda level: level != name, available_levels())
    names = (name, *reversed(tuple(below)))
    return tuple(importlib.import_module(f"ebagx._kernels._{name}") for name in names)


LEVEL = _chosen_level()
_MODULES = load_level(LEVEL)
_cache: dict[tuple[Any, ...], Kernel] = {}


def is_table_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether tables may have this dtype: native float16, bfloat16, float32 or float64."""
    return dtype in _CELLS or (dtype.name == "bfloat16" and dtype.isnative)


def _cell(dtype: np.dtype[Any]) -> tuple[str, np.dtype[Any]]:
    if dtype not in _CELLS and dtype.name == "bfloat16":  # ml_dtypes need not be installed
        _CELLS[dtype] = ("int16_t", np.dtype(np.float32))
    return _CELLS[dtype]


def is_index_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether kernels take indices of this dtype as they are."""
    return dtype in _INDICES


def real_dtype(table_dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which sums over a table are kept, and its gradient is returned."""
    return _cell(table_dtype)[1]


def cells(table: np.ndarray) -> np.ndarray:
    """Return the table as kernels take it: 16-bit floats as their bits."""
    if table.itemsize > 2:
        return table
    return table.view(_BITS[_cell(table.dtype)[0]])


def find(
    level: Level,
    name: str,
    index_dtype: np.dtype[Any],
    table_dtype: np.dtype[Any] = np.dtype(np.float32),  # noqa: B008
) -> Kernel:
    """Return one kernel of one level for tables and indices of these dtypes."""
    cell, real = _cell(table_dtype)
    types = {"cell": cell, "real": _REALS[real], "index": _INDICES[index_dtype]}
    fused = next(getattr(module, name) for module in level if hasattr(module, name))
    return fused[tuple(types[axis] for axis in _AXES[name])]  # type: ignore[no-any-return]


def kernel(
    name: str,
    index_dtype: np.dtype[Any],
    table_dtype: np.dtype[Any] = np.dtype(np.float32),  # noqa: B008
) -> Kernel:
    """Return the kernel of the level in use; the look-up is remembered."""
    key = (name, index_dtype, table_dtype)
    found = _cache.get(key)
    if found is None:
        found = _cache[key] = find(_MODULES, name, index_dtype, table_dtype)
    return found
