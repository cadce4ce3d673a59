"""Memory maps: whether the file still has what was mapped."""

import mmap
from typing import Any

import numpy as np


def check_mapped(array: np.ndarray, name: str) -> None:
    """Raise ValueError if an array is in a memory map whose file was cut short since.

    To read what is no longer there ends the process with a bus error. Nothing helps against a file
    that is cut during the call.
    """
    base: Any = array.base
    if base is None or (type(base) is np.ndarray and base.base is None):
        return  # the usual array, or view of one: in a tenth of a microsecond
    start = _start(array)
    while base is not None and not isinstance(base, mmap.mmap):
        start = _start(base) or start
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is not None:
        _check_file(base, start, name)


def _start(array: Any) -> int:
    """Return where in its file the map of an array starts; 0 if that is not known."""
    offset = (array.offset or 0) if isinstance(array, np.memmap) else 0
    return offset - offset % mmap.ALLOCATIONGRANULARITY


def _check_file(mapped: mmap.mmap, start: int, name: str) -> None:
    try:
        left = mapped.size()
    except (OSError, ValueError):  # no file, or its descriptor was not kept
        return
    if left < start + len(mapped):
        raise ValueError(
            f"{name} is in a memory map of {start + len(mapped)} bytes of a file, "
            f"which was cut short to {left} bytes"
        )
