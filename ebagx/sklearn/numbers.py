"""Estimators of numbers: their targets in the units of the training, and predictions."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import RegressorMixin

from ebagx._training.examples import Examples
from ebagx._training.learning import Weights
from ebagx._training.losses import Loss, Poisson, SquaredError
from ebagx._training.network import Floats
from ebagx.sklearn.base import TrainedEstimator
from ebagx.sklearn.saved import Array, Kind, Truth

Doubles = npt.NDArray[np.float64]


class NumberEstimator(RegressorMixin, TrainedEstimator):  # type: ignore[misc]
    """Regressors, which train on `y` less its mean, and divided by its standard deviation."""

    _saved: ClassVar[Mapping[str, Kind]] = {
        "_has_columns": Truth(),
        "_location": Array("K", np.float64),
        "_scale": Array("K", np.float64),
        "_start": Array("K", np.float64),
    }

    loss: str

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the expected numbers of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the shape of the `y` of `fit`; float32 if `X` is, otherwise float64.
        """
        self._check_unchanged("loss")
        is_single = getattr(X, "dtype", None) == np.float32
        values = self._scores(X, np.float32 if is_single else np.float64)
        if self.loss == "poisson":
            with np.errstate(over="ignore"):  # infinity is the right result
                np.exp(values, out=values)
        return values if self._has_columns else values[:, 0]

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `y` may have several columns; a Poisson loss has no negative ones."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    _has_columns = False

    def _loss(self) -> Loss:
        return Poisson() if self.loss == "poisson" else SquaredError()

    def _encoded(
        self,
        y: Any,
        weights: Weights,
        going_on: bool,
        classes: npt.ArrayLike | None,  # noqa: ARG002
    ) -> tuple[Floats, Weights]:
        columns, self._has_columns = columns_of_numbers(y)
        if going_on and columns.shape[1] != len(self.intercept_):
            raise ValueError(
                f"y must have {len(self.intercept_)} outputs as before, got {columns.shape[1]}"
            )
        self._check_range(columns, going_on)
        if not (going_on and hasattr(self, "_scale")):
            self._set_units(columns, weights)
        return ((columns - self._location) / self._scale).astype(np.float32), weights

    def _check_range(self, columns: npt.NDArray[np.float64], going_on: bool) -> None:
        """Raise ValueError unless the numbers fit in float32 and suit the loss."""
        limit = np.finfo(np.float32).max
        if columns.size and np.abs(columns).max() > limit:
            raise ValueError(f"y must be within the limits of float32, {limit:.3g}")
        if self.loss != "poisson":
            return
        if (columns < 0).any():
            row = int(np.argmax((columns < 0).any(axis=1)))
            raise ValueError(
                f"y must not be negative with loss='poisson', got y[{row}] = {columns[row].min()}"
            )
        if not going_on:
            self._check_occurs((columns > 0).any(axis=0))

    def _check_occurs(self, occurs: Any) -> None:
        """Raise ValueError if an output is never above zero with Poisson's loss."""
        if self.loss == "poisson" and not occurs.all():
            raise ValueError("y must not be all zeros with loss='poisson'")

    def _set_units(self, columns: npt.NDArray[np.float64], weights: Weights) -> None:
        """Set the location and scale (K,) of `y` in training, and the first intercept there."""
        mean = np.average(columns, axis=0, weights=weights)
        variance = np.average((columns - mean) ** 2, axis=0, weights=weights)
        self._set_units_by(mean, variance, np.abs(columns).max(axis=0))

    def _set_units_by(self, mean: Doubles, variance: Doubles, largest: Doubles) -> None:
        """Set location, scale and intercept by moments (K,) and the largest absolute values."""
        if self.loss == "poisson":
            self._location, self._scale = np.zeros_like(mean), np.ones_like(mean)
            self._start = np.log(np.maximum(mean, np.finfo(np.float32).tiny))
            return
        scale = np.sqrt(variance)
        # A column that varies less than float32 can show counts as constant.
        scale[scale <= np.finfo(np.float32).eps * largest] = 1
        self._location, self._scale, self._start = mean, scale, np.zeros_like(mean)

    def _initial_intercept(self, examples: Examples) -> Floats:  # noqa: ARG002
        return self._start.astype(np.float32)


def columns_of_numbers(y: Any) -> tuple[Doubles, bool]:
    """Return targets (n, K), and whether they have been given in columns.

    Raises
    ------
    TypeError, ValueError
        If they are sparse, or no numbers.
    """
    if sparse.issparse(y):
        raise TypeError("y must be dense, got a sparse matrix")
    try:
        numbers = np.asarray(y, dtype=np.float64)
    except ValueError as error:
        raise ValueError(
            f"y must hold numbers: {error}; EmbeddingBagClassifier learns labels"
        ) from error
    return (numbers, True) if numbers.ndim == 2 else (numbers[:, np.newaxis], False)
