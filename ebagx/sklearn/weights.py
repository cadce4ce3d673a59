"""Weights of samples and of classes in the loss."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_consistent_length

from ebagx._core.checks import AT_LEAST_0, check_number

Weights = npt.NDArray[np.float64] | None


def checked_weights(sample_weight: Any, X: Any) -> Weights:
    """Return sample weights (n,), or None where all are 1."""
    if sample_weight is None:
        return None
    weights: npt.NDArray[np.float64] = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must be 1-D, got {weights.ndim}-D")
    check_consistent_length(X, weights)
    if weights.min() < 0:
        first = int(np.argmax(weights < 0))
        raise ValueError(
            f"sample_weight must not be negative, got sample_weight[{first}] = {weights[first]}"
        )
    if not weights.any():
        raise ValueError("sample_weight must contain at least one non-zero number")
    return weights


def class_weights(
    class_weight: Any, classes: npt.NDArray[Any], y: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Return the weight of each class."""
    weights: npt.NDArray[np.float64] = compute_class_weight(class_weight, classes=classes, y=y)
    for name, weight in zip(classes, weights, strict=True):
        check_number(weight, f"class_weight of class {name}", AT_LEAST_0)
    return weights
