"""Split every accepted input into indices, offsets and weights: one file for each form.

========  ==============================================================================
arrays    1-D indices with offsets, 2-D indices whose rows are the bags
sparse    a SciPy matrix: row = bag, column = index, value = weight (`is_sparse`)
lists     lists of lists, of arrays, of tensors: one sequence for each bag (`is_ragged`)
arrow     columns of lists of pyarrow, polars, pandas, nanoarrow, DuckDB (`is_arrow`)
flat      whatever ``numpy.asarray`` takes
read      finds the form of ids or weights and returns them as `Joined`
weights   per-sample weights in each of these forms
entries   single numbers of a list, missing ones, and how several arrays become one
feature   the value of one feature of a collection: an input, or arguments of a call
source    `Source`, the result of each form, and the checks that forms share
========  ==============================================================================

A form checks everything except that indices are inside the table. To add one, write its file, and
call its predicate in `read` or `take_apart` before those of other forms that would also accept the
input.
"""

from typing import Any

import numpy as np

from ebagx._core.forms.arrays import from_integers
from ebagx._core.forms.entries import INTEGERS
from ebagx._core.forms.read import read
from ebagx._core.forms.source import ONE_EACH, Joined, Source, must_be_none
from ebagx._core.forms.sparse import from_sparse, is_sparse
from ebagx._core.forms.weights import take_weights
from ebagx._core.memory import check_mapped


def take_apart(
    input: Any, offsets: Any, per_sample_weights: Any, include_last_offset: bool, num_rows: int
) -> Source:
    """Return an input over a table of `num_rows` rows as its indices, offsets and weights."""
    if type(input) is np.ndarray and input.dtype.kind in "iu":  # the usual input, found first
        check_mapped(input, "input")
        return from_integers(input, None, offsets, per_sample_weights, include_last_offset)
    if not isinstance(input, (list, tuple)) and is_sparse(input):
        return from_sparse(input, offsets, per_sample_weights, num_rows)
    joined = read(input, "input", INTEGERS, offsets is None or offsets is ONE_EACH)
    if joined.offsets is not None:
        return _from_bags(joined, offsets, per_sample_weights)
    return from_integers(*joined.entries, offsets, per_sample_weights, include_last_offset)


def _from_bags(joined: Joined, offsets: Any, per_sample_weights: Any) -> Source:
    """Return the `Source` of bags that are apart in the input."""
    must_be_none(offsets, "offsets", "a list of sequences, which are the bags")
    (indices, missing), ends = joined
    assert ends is not None
    weights = None
    if per_sample_weights is not None:
        weights = take_weights(per_sample_weights, indices.shape, ends, True)
    return Source("input", indices, ends, weights, is_list=True, missing=missing)
