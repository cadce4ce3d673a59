"""Base of the estimators of pooled embeddings, perhaps a hidden layer, and a linear head."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ebagx._core.bags import Bags
from ebagx._core.modes import MODES, WEIGHTED_MODES
from ebagx._training.bags import bags_of, scaled_for, table_of, weighted_sums
from ebagx._training.examples import Examples
from ebagx._training.groups import Groups
from ebagx._training.network import Floats, scores_of
from ebagx._training.pooled import LearnsPooled
from ebagx.sklearn.base import TrainedEstimator
from ebagx.sklearn.groups import ColumnGroups, column_groups
from ebagx.sklearn.inputs import as_features
from ebagx.sklearn.parameters import SIZE, Constraints, NoneOr, OneOf, check_parameters
from ebagx.sklearn.saved import Array, Kind

_FLOAT32 = np.dtype(np.float32)


class PoolingEstimator(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    LearnsPooled,
    TrainedEstimator,
):
    """Estimators that train embeddings, perhaps a hidden layer, and a linear head end to end."""

    _constraints: ClassVar[Constraints] = {
        **TrainedEstimator._constraints,
        "mode": OneOf(WEIGHTED_MODES),
        "groups": NoneOr(ColumnGroups()),
        "hidden": NoneOr(SIZE),
    }

    groups: Any
    _given: Any = None  # the parameter `groups` of the fitted model

    _saved: ClassVar[Mapping[str, Kind]] = {
        "embedding_": Array("ID", is_mapped=True),
        "hidden_coef_": Array("HP", may_be_none=True),
        "hidden_intercept_": Array("H", may_be_none=True),
        "coef_": Array("KQ"),
        "intercept_": Array("K"),
    }

    def transform(self, X: Any) -> Floats:
        """Return the pooled embeddings of each row, those of its groups side by side.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples, n_groups * embedding_dim), float32
            `n_groups` is 1 without groups.
        """
        return self._pooled(X)

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `X` may be sparse, `y` is needed, and `transform` keeps float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _arranged(self, examples: Examples, going_on: bool) -> Examples:
        if going_on:
            self._check_groups()
        else:
            self._groups, self._given = self._given_groups(), self.groups
        return super()._arranged(examples, going_on)

    def _given_groups(self) -> Groups | None:
        if self.groups is None:
            return None
        names = getattr(self, "feature_names_in_", None)
        return column_groups(self.groups, self.n_features_in_, names)

    def _check_groups(self) -> None:
        """Raise ValueError if `groups` differs from that with which the model was made."""
        if self.groups is self._given:
            return
        given, fitted = self._given_groups(), self._groups
        if given is None or fitted is None or not given.equal(fitted):
            raise ValueError(
                "groups differs from those with which the model was fitted: set it back, or call "
                "fit with warm_start=False"
            )

    def _check_to_save(self) -> None:
        super()._check_to_save()
        self._check_groups()

    def _check_restored(self) -> None:
        super()._check_restored()
        self._groups, self._given = self._given_groups(), self.groups
        self._layers()

    def _scaled_bags(self, X: Any) -> Bags:
        """Return validated `X` as bags whose weighted sums are pooled in the mode."""
        bags = bags_of(X, _FLOAT32)
        if self._groups is not None:
            bags = self._groups.apart(bags)
        return scaled_for(MODES[self.mode], bags)

    def _pooled(self, X: Any) -> Floats:
        check_is_fitted(self, "embedding_")
        self._check_pooling()
        X = self._validated_features(X)
        table = table_of(self.embedding_, "embedding_", X.shape[1])
        return self._side_by_side(weighted_sums(self._scaled_bags(X), table, self.num_threads))

    def _check_pooling(self) -> None:
        """Raise TypeError or ValueError unless the parameters of pooling are good."""
        check_parameters(self, "mode", "groups", "num_threads")
        self._check_unchanged("mode")
        self._check_groups()

    def _validated_features(self, X: Any) -> Any:
        """Return checked features of the fitted model, as CSR or dense float32."""
        X = as_features(X, self, np.float32)
        return validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)

    def _scores(self, X: Any, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        return scores_of(self._pooled(X), self._layers(), dtype)
