"""Arrays and optimizers of a model that gets new rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.memory import aligned_empty
from ebagx.optim import Optimizer
from ebagx.optim.state import SEEN, TOTAL

Places = npt.NDArray[np.integer[Any]]


def grown(
    array: npt.NDArray[Any], places: Places, num_rows: int, fill: float = 0.0
) -> npt.NDArray[Any]:
    """Return an array of more rows, in which those of `array` stand at other places.

    Parameters
    ----------
    array : ndarray of shape (N, ...)
        The rows, which are copied.
    places : ndarray of int, shape (N,)
        The place of each row in the result.
    num_rows : int
        Number of rows of the result.
    fill : float, default=0.0
        Value of all other rows.
    """
    larger = aligned_empty((num_rows, *array.shape[1:]), array.dtype)
    if num_rows > len(places):
        larger[...] = fill
    larger[places] = array
    return larger


def grown_optimizer(optimizer: Optimizer, places: Places, num_rows: int) -> Optimizer:
    """Return a copy of an optimizer for a table of more rows, whose state has its initial value.

    Rows that are new owe no weight decay. The arguments are those of `grown`.
    """
    entries = optimizer.state_dict()
    initial = entries.get("initial_accumulator_value", 0.0)
    for name, value in entries.items():
        if isinstance(value, np.ndarray) and value.size:
            fill = entries[TOTAL] if name == SEEN else initial
            entries[name] = grown(value, places, num_rows, fill)
    copy = optimizer.fresh()
    copy.load_state_dict(entries, copy=False)
    return copy
