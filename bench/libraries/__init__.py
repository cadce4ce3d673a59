"""Each library that is compared has a module, ``with_<name>.py``, with a class ``Subject``.

For each operation a subject has a method of its name. It does all set-up and returns the timed
call, a function of no arguments. An operation without a method leaves a gap in the table.
Only the process that times a library imports its module.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from operations import NUM_PROBES, FloatArray, probe_rows
from workloads import Data

LIBRARIES = ("ebagx", "torch", "scipy", "numpy")

Run = Callable[[], Any]


class BaseSubject:
    """Base class of the subjects."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def read(self, result: Any) -> tuple[FloatArray, ...]:
        """Return the checked part of a result: the first bags, or the probed rows."""
        if isinstance(result, tuple):
            return tuple(part for element in result for part in self.read(element))
        array = np.asarray(result)
        is_table = array.shape == self.data.weight.shape
        return (array[probe_rows(self.data)] if is_table else array[:NUM_PROBES],)
