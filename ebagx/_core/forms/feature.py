"""Take the value of one feature of a collection: an input, or a tuple of a call's arguments."""

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
    include_last_offset: bool | None = None  # None: as the table says


_MOST = 3  # arguments in a tuple


def feature_arguments(value: Any) -> FeatureArguments:
    """Return the arguments of a call in the value of a feature; 1-D ids are one for each bag.

    Raises
    ------
    ValueError
        If a tuple has another length.
    TypeError
        If 1-D ids are not integers, or categorical.
    """
    if not isinstance(value, tuple):
        arguments = FeatureArguments(value)
    elif 1 <= len(value) <= _MOST:
        arguments = FeatureArguments(*value)
    else:
        raise ValueError(
            "a tuple must be (input,), (input, offsets) or (input, offsets, per_sample_weights), "
            f"got {len(value)} entries: give bags as a list"
        )
    if arguments.offsets is not None or not _is_column(arguments.input):
        return arguments
    ids = as_integer_array(arguments.input, "input")
    return FeatureArguments(ids, np.arange(len(ids) + 1), arguments.per_sample_weights, True)


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
