"""Load the kernels of one instruction-set level, or their twins in NumPy.

The level is chosen once, at import: the fastest that was built and that the processor runs, or the
one that the environment variable ``EBAGX_LEVEL`` names.
"""

import importlib
import importlib.util
import os
from array import array
from collections.abc import Callable
from itertools import takewhile
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from ebagx._core import cpu, threads

# The levels, from slowest to fastest, and whether this processor runs them.
_SUPPORTED: dict[str, Callable[[], bool]] = {
    "baseline": lambda: True,
    "avx2": cpu.has_avx2,
    "avx512": cpu.has_avx512,
}

# The level of the twins in NumPy is slow, and used only if EBAGX_LEVEL names it.
REFERENCE = "reference"
REFERENCE_MODULES: tuple[str, ...] = (
    "reference",
    "training_reference",
    "pairs_reference",
    "draw_reference",
    "quantized_reference",
    "top_reference",
    "combine_reference",
)

KERNEL_NAMES = (
    "indices_valid",
    "offsets_valid",
    "close_offsets",
    "select_lookups",
    "pool",
    "pool_many",
    "pool_plain",
    "extreme",
    "extreme_gradient",
    "sort_lookups",
    "group_rows",
    "count_lookups",
    "transpose_lookups",
    "transpose_few",
    "scatter",
    "weights_gradient",
    "renorm",
    "add_rows",
    "clear_rows",
    "step_rows",
    "row_squares",
    "combine_rows",
    "train_batches",
    "train_pairs",
    "pool_codes",
    "pool_plain_codes",
    "unpack_codes",
    "draw_classes",
    "make_alias",
    "top_items",
    "top_scores",
)


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
    if wanted and wanted not in (*levels, REFERENCE):
        raise ImportError(
            f"EBAGX_LEVEL = {wanted!r} is not available here, the levels are: "
            f"{', '.join(levels)}, {REFERENCE}"
        )
    return wanted or levels[-1]


def _modules(name: str) -> list[ModuleType]:
    """Return the modules of one level: its own, and those of the levels below, fastest first."""
    if name == REFERENCE:
        names = REFERENCE_MODULES
    else:
        below = takewhile(lambda level: level != name, available_levels())
        names = tuple(f"_{level}" for level in (name, *reversed(tuple(below))))
    return [importlib.import_module(f"ebagx._kernels.{module}") for module in names]


def load_level(name: str) -> SimpleNamespace:
    """Return the kernels of one level; those that it lacks come from the next level below.

    A level that was built and fails to load is an error.
    """
    modules = _modules(name)
    return SimpleNamespace(
        **{
            kernel: next(getattr(module, kernel) for module in modules if hasattr(module, kernel))
            for kernel in KERNEL_NAMES
        }
    )


def report_times(times: "array[int] | None") -> None:
    """Let the kernels in use add up the times of their parallel regions; None: no longer."""
    if LEVEL != REFERENCE:
        for module in _modules(LEVEL):
            module.report_times(times)


LEVEL = _chosen_level()
report_times(threads.REGION_TIMES)
if TYPE_CHECKING:
    # Every level has the same functions, so that one stub types them all.
    from ebagx._kernels import _baseline

    kernels = _baseline
else:
    kernels = load_level(LEVEL)
