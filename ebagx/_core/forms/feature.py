"""Take the value of one feature of a collection: an input, or a tuple of a call's arguments."""

from typing import Any, NamedTuple

import numpy as np

from ebagx._core.forms.flat import CATEGORICAL, is_categorical
from ebagx._core.forms.source import ONE_EACH, ends_of_ones
from ebagx._core.memory import check_mapped


class FeatureArguments(NamedTuple):
    """The arguments of a call of one table."""

    input: Any
    offsets: Any = None
    per_sample_weights: Any = None
    # Input and offsets are checked integers, and these have the last one, whatever the table says.
    is_closed: bool = False


_MOST = 3  # arguments in a tuple


def feature_arguments(value: Any) -> FeatureArguments:
    """Return the arguments of a call in the value of a feature; 1-D ids are one for each bag.

    Raises
    ------
    ValueError
        If a tuple has another length.
    TypeError
        If ids are categorical.
    """
    if type(value) is np.ndarray and value.ndim == 1 and value.dtype.kind in "iu":
        check_mapped(value, "input")  # the usual value, found first
        return FeatureArguments(value, ends_of_ones(len(value)), None, True)
    arguments = value if isinstance(value, tuple) else (value,)
    if not 1 <= len(arguments) <= _MOST:
        raise ValueError(
            "a tuple must be (input,), (input, offsets) or (input, offsets, per_sample_weights), "
            f"got {len(arguments)} entries: give bags as a list"
        )
    ids, offsets, weights = (*arguments, None, None)[:_MOST]
    if is_categorical(ids):
        raise TypeError(f"input {CATEGORICAL}")
    return FeatureArguments(ids, ONE_EACH if offsets is None else offsets, weights)
