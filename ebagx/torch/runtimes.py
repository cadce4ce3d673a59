"""Warn if PyTorch and ebagx have OpenMP runtimes of their own in one process.

The threads of a runtime spin after a parallel region, for some milliseconds, and so keep those of
the other runtime from the processors: a training step of 2.6 ms took 16 ms where ebagx had used its
threads before PyTorch was imported. Built from source on Linux, ebagx takes the runtime that
PyTorch has loaded, and PyTorch that of ebagx. A library of another name, which repairs of wheels
and other package managers bring, is a second one.
"""

import ctypes
import warnings

import torch

from ebagx._core import cpu


def warn_of_two_runtimes() -> None:
    """Warn with a RuntimeWarning if PyTorch and ebagx use different OpenMP runtimes."""
    own, of_torch = (_address_of_runtime(module.__file__) for module in (cpu, torch._C))
    if own is None or of_torch is None or own == of_torch:
        return
    warnings.warn(
        "PyTorch and ebagx have loaded two OpenMP runtimes, whose threads keep each other waiting: "
        "install ebagx from its source (pip install --no-binary ebagx ebagx), which shares that of "
        "PyTorch; or import torch before the first use of ebagx, or call torch.set_num_threads(1)",
        RuntimeWarning,
        stacklevel=3,
    )


def _address_of_runtime(module: str | None) -> int | None:
    """Return where in memory a compiled module finds its OpenMP runtime; None if it has none."""
    try:
        # The symbol is searched in the module and in the libraries that it needs.
        function = ctypes.CDLL(module).omp_get_max_threads
    except (OSError, AttributeError):
        return None
    return ctypes.cast(function, ctypes.c_void_p).value
