"""Weights of samples and of classes in the loss."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_consistent_length

from ebagx._core.arguments import AT_LEAST_0, check_number, named_errors
from ebagx._training.labels import balanced_weights, weights_of_rows
from ebagx._training.learning import Weights


def checked_weights(sample_weight: Any, X: Any) -> Weights:
    """Return sample weights (n,), or None where all are 1."""
    if sample_weight is None:
        return None
    with named_errors("sample_weight"):
        weights: npt.NDArray[np.float64] = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
        )
        check_consistent_length(X, weights)
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must be 1-D, got {weights.ndim}-D")
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
    """Return the weight of each class; "balanced" ones are 1 for those that do not occur."""
    found = np.isin(classes, y) if isinstance(class_weight, str) else np.ones(len(classes), bool)
    weights = np.ones(len(classes))
    weights[found] = compute_class_weight(class_weight, classes=classes[found], y=y)
    for name, weight in zip(classes, weights, strict=True):
        check_number(weight, f"class_weight of class {name}", AT_LEAST_0)
    return weights


def weights_of_label_sets(
    class_weight: Any, indicator: sparse.csr_array
) -> npt.NDArray[np.float64]:
    """Return the weight (n,) of each row of an indicator, by the weights of its labels."""
    if isinstance(class_weight, str):
        return weights_of_rows(balanced_weights(indicator), indicator)
    labels = np.arange(indicator.shape[1])
    return weights_of_rows(class_weights(class_weight, labels, labels), indicator)
