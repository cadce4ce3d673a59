"""Base of the trained estimators: parameters, input, and fitting."""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ebagx._core.bags import Bags
from ebagx._training.bags import bags_of, table_of
from ebagx._training.examples import BagMaker, Examples
from ebagx._training.learning import LearnsExamples, Weights, check_not_empty
from ebagx._training.passes import DivergenceError as DivergenceError
from ebagx.sklearn.inputs import as_features, as_targets
from ebagx.sklearn.saving import SavedInFolder
from ebagx.sklearn.weights import checked_weights

_FLOAT32 = np.dtype(np.float32)


class TrainedEstimator(SavedInFolder, LearnsExamples, BaseEstimator):  # type: ignore[misc]
    """Estimators that train the rows of a table together with what turns them into scores."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn embeddings and layers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the loss, at least 0. Rows of weight 0 are left out.

        Returns
        -------
        self : estimator

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If `X`, `y` or `sample_weight` has a NaN or infinity, or a parameter a value outside
            its range, or if the loss diverges. Then the model is that of the last pass with finite
            loss; if there is none, the estimator is not fitted.
        """
        self._check_parameters()
        going_on = bool(self.warm_start) and self._is_fitted()
        if going_on:
            self._check_unchanged(*self._fixed)
        with self._unchanged_by_errors():
            self._own_arrays()
            examples = self._examples(X, y, sample_weight, going_on)
            training = self._trained(examples, going_on)
        self._take_over(*training)
        return self

    def _fit_pass(
        self, X: Any, y: Any, sample_weight: Any, classes: npt.ArrayLike | None = None
    ) -> Self:
        """Make one pass that goes on with the model, if there is one."""
        self._check_parameters()
        going_on = self._is_fitted()
        if going_on:
            self._check_unchanged(*self._fixed)
        with self._unchanged_by_errors():
            self._own_arrays()
            examples = self._examples(X, y, sample_weight, going_on, classes)
            training = self._trained_on(examples, going_on)
        self._take_over(*training)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `X` may be sparse, and `y` is needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    @abstractmethod
    def _encoded(
        self, y: Any, weights: Weights, going_on: bool, classes: npt.ArrayLike | None
    ) -> tuple[Any, Weights]:
        """Return targets (n, K) and weights; set the fitted attributes that describe `y`."""

    @abstractmethod
    def _scores(self, X: Any, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """Return the scores (n, K) of rows, in the units of y."""

    def _examples(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        going_on: bool,
        classes: npt.ArrayLike | None = None,
    ) -> Examples:
        """Return checked examples, without those of weight 0."""
        if isinstance(X, BagMaker):
            if X.num_bags != np.shape(y)[0]:
                raise ValueError(f"X has {X.num_bags} bags, but y has {np.shape(y)[0]} rows")
            self.n_features_in_ = X.num_columns
            bags: Bags | BagMaker = X
            weights = checked_weights(sample_weight, y)
        else:
            X, y = self._validated(X, y, going_on)
            bags = bags_of(X, _FLOAT32)
            weights = checked_weights(sample_weight, X)
        if going_on:
            table = table_of(self.embedding_, "embedding_", self.n_features_in_)
            table.check_writeable("training")
        targets, weights = self._encoded(y, weights, going_on, classes)
        return check_not_empty(self._weighted(bags, targets, weights, going_on))

    def _validated(self, X: Any, y: Any, going_on: bool) -> tuple[Any, Any]:
        """Return checked features, as CSR or dense float32, and targets."""
        X, y = validate_data(
            self,
            as_features(X, self, np.float32),
            as_targets(y),
            accept_sparse="csr",
            dtype=np.float32,
            multi_output=True,
            reset=not going_on,
        )
        return X, y
