"""Take arrays as input: 1-D indices with offsets, or 2-D indices whose rows are the bags."""

from typing import Any

import numpy as np

from ebagx._core.checks import as_integer_array
from ebagx._core.forms.source import Source, checked_offsets, must_be_none


def from_array(
    input: Any, offsets: Any, per_sample_weights: Any, include_last_offset: bool
) -> Source:
    """Return the `Source` of anything that ``numpy.asarray`` takes."""
    indices = as_integer_array(input, "input")
    weights = None
    if per_sample_weights is not None:
        weights = np.asarray(per_sample_weights)
        if weights.shape != indices.shape:
            raise ValueError(
                f"per_sample_weights must have input's shape {indices.shape}, got {weights.shape}"
            )
    if indices.ndim == 1:
        ends = checked_offsets(offsets, len(indices), include_last_offset)
    elif indices.ndim == 2:
        must_be_none(offsets, "offsets", "2-D input, whose rows are the bags")
        num_bags, length = indices.shape
        ends = np.arange(num_bags + 1, dtype=np.int64) * length
    else:
        raise ValueError(
            "input must be 1-D (with offsets), 2-D, a scipy.sparse matrix or a list of integer "
            f"sequences, got a {indices.ndim}-D array"
        )
    return Source("input", indices, ends, weights)
