"""Split every accepted input into indices, offsets and weights: one file for each form.

========  ==============================================================================
lists     a list or tuple of integer sequences, one for each bag (`is_ragged`)
sparse    a SciPy matrix: row = bag, column = index, value = weight (`is_sparse`)
arrays    anything else that ``numpy.asarray`` takes
source    `Source`, the result of each form, and the checks that forms share
========  ==============================================================================

A form checks everything except that indices are inside the table. To add one, write its file, and
call its predicate in `take_apart` before those of other forms that would also accept the input.
"""

from typing import Any

import numpy as np

from ebagx._core.forms.arrays import from_array
from ebagx._core.forms.lists import from_lists, is_ragged
from ebagx._core.forms.source import Source
from ebagx._core.forms.sparse import from_sparse, is_sparse


def take_apart(
    input: Any, offsets: Any, per_sample_weights: Any, include_last_offset: bool, num_rows: int
) -> Source:
    """Return an input over a table of `num_rows` rows as its indices, offsets and weights."""
    if type(input) is np.ndarray:  # the usual input, found first
        return from_array(input, offsets, per_sample_weights, include_last_offset)
    if isinstance(input, (list, tuple)) and is_ragged(input, offsets):
        return from_lists(input, offsets, per_sample_weights)
    if is_sparse(input):
        return from_sparse(input, offsets, per_sample_weights, num_rows)
    return from_array(input, offsets, per_sample_weights, include_last_offset)
