"""Take the value of one feature of a collection: an input, or a tuple of a call's arguments."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.checks import as_integer_array
from ebagx._core.forms.lists import is_ragged
from ebagx._core.forms.sparse import is_sparse


class FeatureArguments(NamedTuple):
    """The arguments of a call of one table."""

    input: Any
    offsets: Any = None
    per_sample_weights: Any = None
    # The offsets are checked, and have the last one, whatever the table says.
    is_closed: bool = False


_MOST = 3  # arguments in a tuple
_KEPT_COUNT = 1 << 16


def feature_arguments(value: Any) -> FeatureArguments:
    """Return the arguments of a call in the value of a feature; 1-D ids are one for each bag.

    Raises
    ------
    ValueError
        If a tuple has another length.
    TypeError
        If 1-D ids are not integers, or categorical.
    """
    ids, offsets, weights = value, None, None
    if isinstance(value, tuple):
        if not 1 <= len(value) <= _MOST:
            raise ValueError(
                "a tuple must be (input,), (input, offsets) or (input, offsets, "
                f"per_sample_weights), got {len(value)} entries: give bags as a list"
            )
        ids, offsets, weights = (*value, None, None)[:_MOST]
    if offsets is not None or not _is_column(ids):
        return FeatureArguments(ids, offsets, weights)
    ids = as_integer_array(ids, "input")
    count = len(ids)
    ends = _ends_of_ones(count) if count <= _KEPT_COUNT else np.arange(count + 1)
    return FeatureArguments(ids, ends, weights, True)


@lru_cache(maxsize=1)
def _ends_of_ones(count: int) -> np.ndarray:
    """Return the offsets of bags of one id: those of the last batch are used again."""
    ends = np.arange(count + 1)
    ends.flags.writeable = False
    return ends


def _is_column(input: Any) -> bool:
    """Return whether an input is 1-D and has one id for each bag."""
    if type(input) is np.ndarray:  # the usual input, found first
        return input.ndim == 1 and input.dtype.kind != "O"
    if isinstance(input, (list, tuple)):
        return not is_ragged(input, None)
    if is_sparse(input):
        return False
    # Ranges and the like are neither arrays nor lists.
    array = input if hasattr(input, "ndim") else np.asarray(input)
    dtype = getattr(array, "dtype", None)
    if str(dtype) == "category":
        raise TypeError("input is categorical: pass its codes, for pandas those in .cat.codes")
    return bool(array.ndim == 1) and getattr(dtype, "kind", "") != "O"
