"""Take per-sample weights in any form, and compare their shape with that of the input."""

from typing import Any

import numpy as np

from ebagx._core.checks import raise_missing
from ebagx._core.forms.entries import REALS
from ebagx._core.forms.read import read

_NAME = "per_sample_weights"


def take_weights(
    weights: Any, shape: tuple[int, ...], ends: np.ndarray, is_list: bool
) -> np.ndarray:
    """Return weights (n,), or in the shape (B, L) of the input.

    Parameters
    ----------
    weights : object
        Weights of the shape of the input, or bags of weights in any ragged form.
    shape : tuple of int
        Shape of the indices.
    ends : ndarray of shape (B + 1,)
        Offsets of the bags of the input.
    is_list : bool
        The bags are apart in the input.
    """
    if type(weights) is np.ndarray and weights.dtype.kind != "O":
        array = weights
    else:
        (array, missing), offsets = read(weights, _NAME, REALS, is_list)
        if missing is not None:
            raise_missing(missing.mask, missing.word, _NAME, offsets, "give every lookup a weight")
        if offsets is not None:
            _check_same_bags(offsets, ends)
            return array
    if is_list:
        _check_rows(array, ends)
    elif array.shape != shape:
        raise ValueError(f"{_NAME} must have input's shape {shape}, got {array.shape}")
    return array


def _check_same_bags(offsets: np.ndarray, ends: np.ndarray) -> None:
    """Raise ValueError unless the bags of weights are as long as those of the input."""
    if len(offsets) != len(ends):
        raise ValueError(
            f"{_NAME} must have a sequence for each of the {len(ends) - 1} bags of input, "
            f"got {len(offsets) - 1}"
        )
    if (offsets != ends).any():
        b = int(np.argmax(offsets != ends)) - 1
        raise ValueError(
            f"{_NAME}[{b}] must have {ends[b + 1] - ends[b]} weights, as many as input[{b}], "
            f"got {offsets[b + 1] - offsets[b]}"
        )


def _check_rows(array: np.ndarray, ends: np.ndarray) -> None:
    """Raise ValueError unless an array has a row of weights for each bag of a list."""
    if array.ndim == 2:
        _check_same_bags(np.arange(len(array) + 1) * array.shape[1], ends)
        return
    message = f"{_NAME} must have a sequence for each of the {len(ends) - 1} bags of input"
    flat = ": flat weights go with flat input and offsets" if array.ndim == 1 else ""
    raise ValueError(f"{message}, got an array of shape {array.shape}{flat}")
