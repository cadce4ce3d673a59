"""`Source` is the result of every form of input; the checks here are those that forms share."""

from enum import Enum, auto
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.checks import raise_bad_offsets
from ebagx._core.forms.entries import Entries, Missing
from ebagx._core.layout import as_indices
from ebagx._core.levels import kernels

INT32_MAX = 2**31 - 1


class OneEach(Enum):
    """A value of `offsets` with which 1-D input has one id for each bag."""

    ONE_EACH = auto()


ONE_EACH = OneEach.ONE_EACH


class Source(NamedTuple):
    """Indices, offsets and weights of an input; indices keep the caller's shape and dtype.

    Weights have the shape in which their gradient is returned.
    """

    name: str  # of the indices, in error messages
    indices: np.ndarray
    offsets: np.ndarray  # (B + 1,), from 0 to n without decreasing
    weights: np.ndarray | None
    weights_name: str = "per_sample_weights"
    is_list: bool = False  # the indices come from bags that are apart in the input
    missing: Missing | None = None  # indices without a value, in the shape of the indices


class Joined(NamedTuple):
    """Numbers of an argument in any form, side by side."""

    entries: Entries
    offsets: np.ndarray | None  # (B + 1,) as in `Source`; None if there are no bags apart


def must_be_none(value: Any, name: str, why: str) -> None:
    """Raise ValueError unless an argument that this form of input replaces is None."""
    if value is not None and value is not ONE_EACH:
        raise ValueError(f"{name} must be None for {why}")


def valid_offsets(
    offsets: np.ndarray, name: str, num_lookups: int, include_last_offset: bool
) -> np.ndarray:
    """Return integer offsets as (B + 1,) that run from 0 to n without decreasing."""
    ends = as_indices(offsets)
    if include_last_offset:
        valid = len(ends) > 0 and kernels.offsets_valid(ends, num_lookups)
    else:
        starts = ends if num_lookups <= INT32_MAX else ends.astype(np.int64, copy=False)
        ends = np.empty(len(starts) + 1, starts.dtype)
        valid = kernels.close_offsets(ends, starts, num_lookups)
    if not valid:
        raise_bad_offsets(offsets, name, num_lookups, include_last_offset)
    return ends


_KEPT_COUNT = 1 << 16


def ends_of_ones(count: int) -> np.ndarray:
    """Return the offsets of bags of one id; those of the last batch are used again."""
    return _kept_ends(count) if count <= _KEPT_COUNT else np.arange(count + 1)


@lru_cache(maxsize=1)
def _kept_ends(count: int) -> np.ndarray:
    ends = np.arange(count + 1)
    ends.flags.writeable = False
    return ends
