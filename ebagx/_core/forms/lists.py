"""Take lists of integer sequences as input: one sequence for each bag."""

from itertools import chain
from typing import Any

import numpy as np

from ebagx._core.checks import as_integer_array, check_integers, sequence_lengths
from ebagx._core.forms.source import Source, must_be_none


def is_ragged(input: Any, offsets: Any) -> bool:
    """Return whether a list holds bags rather than indices."""
    if len(input) == 0:
        return offsets is None
    # Arrays, series and tensors have a length too, unless they are 0-D.
    sized = {kind for kind in set(map(type, input)) if hasattr(kind, "__len__")}
    return bool(sized) and any(
        type(entry) in sized and getattr(entry, "ndim", 1) > 0 for entry in input
    )


def from_lists(input: Any, offsets: Any, per_sample_weights: Any) -> Source:
    """Return the `Source` of a list of integer sequences."""
    must_be_none(offsets, "offsets", "a list of sequences, which are the bags")
    lengths = sequence_lengths(input, "input")
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    entries = _entries(input, "input must be a list of integer sequences")
    for kind in set(map(type, entries)):
        if not issubclass(kind, (int, np.integer)) or kind is bool:
            wrong = next(entry for entry in entries if type(entry) is kind)
            check_integers(np.asarray([wrong]), "input")
    _check_counted(entries, ends[-1], "input")
    try:
        indices = np.array(entries, np.int64)
    except OverflowError:
        indices = as_integer_array(entries, "input")
    weights = None
    if per_sample_weights is not None:
        if sequence_lengths(per_sample_weights, "per_sample_weights") != lengths:
            raise ValueError("per_sample_weights must have sequences as long as those of input")
        what = "per_sample_weights must be a list of sequences of numbers"
        values = _entries(per_sample_weights, what)
        _check_counted(values, ends[-1], "per_sample_weights")
        weights = np.asarray(values)
    return Source("input", indices, ends, weights, is_list=True)


def _entries(sequences: Any, what: str) -> list[Any]:
    """Return the entries of all sequences."""
    entries = list(chain.from_iterable(sequences))
    if any(issubclass(kind, (list, tuple, np.ndarray)) for kind in set(map(type, entries))):
        raise ValueError(f"{what}, got deeper nesting")
    return entries


def _check_counted(entries: list[Any], count: int, name: str) -> None:
    if len(entries) != count:
        raise ValueError(f"{name} has sequences with another length than number of entries")
