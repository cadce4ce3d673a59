"""Base of the factorization machines: their table, scores, and fitted attributes."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.validation import check_is_fitted, validate_data

from ebagx._core.arguments import shown
from ebagx._core.bags import Bags
from ebagx._core.table import Table
from ebagx._training.bags import bags_of, table_of
from ebagx._training.examples import Examples
from ebagx._training.factorization import initial_factors, scores_of_factors
from ebagx._training.network import Floats, Layer, Network, trainable_table
from ebagx._training.optimizers import State
from ebagx.sklearn.base import TrainedEstimator
from ebagx.sklearn.inputs import as_features, without_duplicates
from ebagx.sklearn.parameters import Constraints, check_parameters
from ebagx.sklearn.saved import Array, Kind

_FLOAT32 = np.dtype(np.float32)


class FactorizationMachine(TrainedEstimator):
    """Estimators whose score is a bias, linear terms, and the products of all pairs of columns."""

    _constraints: ClassVar[Constraints] = TrainedEstimator._constraints

    _saved: ClassVar[Mapping[str, Kind]] = {
        "embedding_": Array("IW", is_mapped=True),
        "_biases": Array("K"),
    }

    _biases: Floats  # (K,), in the units of the loss, as those of `embedding_`

    @property
    def intercept_(self) -> npt.NDArray[Any]:
        """Biases of the outputs, of shape (n_outputs,)."""
        biases = self._of_model("intercept_")
        location, scale = self._units()
        return (biases * scale + location).astype(np.float32)

    @property
    def coef_(self) -> npt.NDArray[Any]:
        """Weights of the linear terms, of shape (n_outputs, n_features)."""
        num_outputs = len(self._of_model("coef_"))
        scale = self._units()[1]
        weights = self.embedding_[:, -num_outputs:].T
        return (weights * scale[:, np.newaxis]).astype(np.float32)

    @property
    def factors_(self) -> npt.NDArray[Any]:
        """Factors of the columns, of shape (n_outputs, n_features, embedding_dim)."""
        num_outputs, num_columns = len(self._of_model("factors_")), len(self.embedding_)
        factors = self.embedding_[:, :-num_outputs].reshape(num_columns, num_outputs, -1)
        scale = np.sqrt(self._units()[1])[:, np.newaxis, np.newaxis]
        return (factors.transpose(1, 0, 2) * scale).astype(np.float32)

    def _of_model(self, name: str) -> Floats:
        """Return the biases, or raise AttributeError about the attribute that is wanted."""
        if not self._is_fitted():
            raise AttributeError(f"{name} is there after fit")
        return self._biases

    def _validated(self, X: Any, y: Any, going_on: bool) -> tuple[Any, Any]:
        X, y = super()._validated(X, y, going_on)
        return _without_duplicates(X), y

    def _units(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return location and scale (K,) of scores in the units of y."""
        return np.zeros(len(self._biases)), np.ones(len(self._biases))

    def _check_restored(self) -> None:
        super()._check_restored()
        self._checked_table()

    def _network(
        self,
        examples: Examples,
        used: npt.NDArray[np.integer[Any]],
        state: State,
        going_on: bool,
    ) -> Network:
        dim = self.embedding_dim
        if going_on:
            table, biases = trainable_table(self._checked_table().weight), self._biases
        else:
            num_outputs = examples.targets.shape[1]
            table = initial_factors(used, self.n_features_in_, dim, num_outputs, state.rng)
            biases = self._initial_intercept(examples)
        layer = Layer(np.empty((len(biases), 0), np.float32), biases)
        return Network(table, [layer], state.optimizers, used, self.num_threads, factors=dim)

    def _keep(self, network: Network) -> None:
        self.embedding_ = network.table
        self._biases = network.layers[0].intercept

    def _scores_in_training(self, network: Network, bags: Bags) -> Floats:
        biases = network.layers[0].intercept
        return scores_of_factors(bags, network.table, biases, self.num_threads)

    def _scores(self, X: Any, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        check_is_fitted(self, "embedding_")
        check_parameters(self, "num_threads")
        X = as_features(X, self, np.float32)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        table = self._checked_table().weight
        bags = bags_of(_without_duplicates(X), _FLOAT32)
        location, scale = self._units()
        scores = scores_of_factors(bags, table, self._biases, self.num_threads, np.float64)
        return (scores * scale + location).astype(dtype)

    def _checked_table(self) -> Table:
        """Return `embedding_`, which may have been assigned.

        Raises
        ------
        TypeError, ValueError
            If it is no array of numbers, or has another shape than after the training.
        """
        table = table_of(self.embedding_, "embedding_", self.n_features_in_)
        if not isinstance(table.weight, np.ndarray):
            raise TypeError(f"embedding_ must be an array, got {shown(self.embedding_)}")
        width = len(self._biases) * (self._made_with["embedding_dim"] + 1)
        if table.dim != width:
            raise ValueError(
                f"embedding_ must have {width} columns, the factors and weights of "
                f"{len(self._biases)} outputs, got {table.dim}"
            )
        return table


def _without_duplicates(X: Any) -> Any:
    """Return X with one entry for each column of a row: a square is not the sum of two squares."""
    return without_duplicates(X) if sparse.issparse(X) else X
