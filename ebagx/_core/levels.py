"""Which compiled kernels are used, and on which arrays. Nobody else asks for a level or dtype."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import numpy as np

from ebagx import _cpu

# From slowest to fastest; a level is used where its module was built and the processor runs it.
_SUPPORTED: dict[str, Callable[[], bool]] = {
    "baseline": lambda: True,
    "avx2": _cpu.has_avx2,
    "avx512": _cpu.has_avx512,
}

KERNEL_NAMES = (
    "indices_valid",
    "offsets_valid",
    "close_offsets",
    "drop_padding",
    "pool",
    "extreme",
    "extreme_gradient",
    "sort_lookups",
    "group_rows",
    "transpose_lookups",
    "number_rows",
    "scatter",
    "weights_gradient",
    "renorm",
    "add_rows",
    "clear_rows",
    "step_rows",
    "row_squares",
)

# What tables hold but for bfloat16, which ml_dtypes has, and the dtype their sums are kept in.
_FLOAT32 = np.dtype(np.float32)
_SUMS: dict[np.dtype[Any], np.dtype[Any]] = {
    _FLOAT32: _FLOAT32,
    np.dtype(np.float64): np.dtype(np.float64),
    np.dtype(np.float16): _FLOAT32,
}
# Of 16-bit floats, as kernels take them.
_BITS = {"float16": np.dtype(np.uint16), "bfloat16": np.dtype(np.int16)}
_INDICES = (np.dtype(np.int32), np.dtype(np.int64))


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


def load_level(name: str) -> SimpleNamespace:
    """Return the kernels of one level, which need not have all, and else those of the next below.

    A level that was built and fails to load is an error.
    """
    below = takewhile(lambda level: level != name, available_levels())
    names = (name, *reversed(tuple(below)))
    modules = [importlib.import_module(f"ebagx._kernels._{level}") for level in names]
    return SimpleNamespace(
        **{
            kernel: next(getattr(module, kernel) for module in modules if hasattr(module, kernel))
            for kernel in KERNEL_NAMES
        }
    )


LEVEL = _chosen_level()
kernels = load_level(LEVEL)


def is_table_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether tables may have this dtype: native float16, bfloat16, float32 or float64."""
    return dtype in _SUMS or (dtype.name == "bfloat16" and dtype.isnative)


def is_index_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether kernels take indices of this dtype as they are."""
    return dtype in _INDICES


def real_dtype(table_dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which sums over a table are kept, and its gradient is returned."""
    return _SUMS.get(table_dtype, _FLOAT32)


def cells(table: np.ndarray) -> np.ndarray:
    """Return the table as kernels take it: 16-bit floats as their bits."""
    return table if table.itemsize > 2 else table.view(_BITS[table.dtype.name])
