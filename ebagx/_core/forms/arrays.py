"""Take arrays as input: 1-D indices with offsets, or 2-D indices whose rows are the bags."""

from typing import Any

import numpy as np

from ebagx._core.checks import check_integers, raise_missing
from ebagx._core.forms.entries import INTEGERS, Missing
from ebagx._core.forms.flat import as_entries
from ebagx._core.forms.source import ONE_EACH, Source, ends_of_ones, must_be_none, valid_offsets
from ebagx._core.forms.weights import take_weights


def from_integers(
    indices: np.ndarray,
    missing: Missing | None,
    offsets: Any,
    per_sample_weights: Any,
    include_last_offset: bool,
) -> Source:
    """Return the `Source` of integers in an array, of which some may be missing."""
    if indices.ndim == 1 and offsets is ONE_EACH:
        ends = ends_of_ones(len(indices))
    elif indices.ndim == 1:
        ends = checked_offsets(offsets, len(indices), include_last_offset)
    elif indices.ndim == 2:
        must_be_none(offsets, "offsets", "2-D input, whose rows are the bags")
        num_bags, length = indices.shape
        ends = np.arange(num_bags + 1, dtype=np.int64) * length
    else:
        raise ValueError(
            "input must be 1-D (with offsets), 2-D, a scipy.sparse matrix or bags of integers "
            f"(a list, an Arrow column), got a {indices.ndim}-D array"
        )
    weights = None
    if per_sample_weights is not None:
        weights = take_weights(per_sample_weights, indices.shape, ends, False)
    if missing is None:
        return Source("input", indices, ends, weights)
    return Source("input", indices, ends, weights, missing=missing)


def checked_offsets(offsets: Any, num_lookups: int, include_last_offset: bool) -> np.ndarray:
    """Return offsets as an array (B + 1,) that runs from 0 to n without decreasing."""
    if offsets is None:
        raise ValueError("offsets must be given for 1-D input")
    if type(offsets) is np.ndarray:
        array = offsets
        check_integers(array, "offsets")
    else:
        array, missing = as_entries(offsets, "offsets", INTEGERS)
        if missing is not None:
            raise_missing(missing.mask, missing.word, "offsets", None, "every bag has a start")
    if array.ndim != 1:
        raise ValueError(f"offsets must be 1-D, got {array.ndim}-D")
    return valid_offsets(array, "offsets", num_lookups, include_last_offset)
