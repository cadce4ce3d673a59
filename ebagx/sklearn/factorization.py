"""Base of the factorization machines: their table, scores, and fitted attributes."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted, validate_data

from ebagx._core.bags import Bags
from ebagx._training.bags import bags_of, table_of
from ebagx._training.examples import Examples
from ebagx._training.factorization import initial_factors, scores_of_factors
from ebagx._training.network import Floats, Layer, Network, trainable_table
from ebagx._training.optimizers import State
from ebagx.sklearn.base import TrainedEstimator
from ebagx.sklearn.inputs import as_features
from ebagx.sklearn.parameters import Constraints, check_parameters

_FLOAT32 = np.dtype(np.float32)


class FactorizationMachine(TrainedEstimator):
    """Estimators whose score is a bias, linear terms, and the products of all pairs of columns."""

    _constraints: ClassVar[Constraints] = TrainedEstimator._constraints

    _biases: Floats  # (K,), in the units of the loss, as those of `embedding_`

    @property
    def intercept_(self) -> npt.NDArray[Any]:
        """Biases of the outputs, of shape (n_outputs,)."""
        location, scale = self._units()
        return (self._biases * scale + location).astype(np.float32)

    @property
    def coef_(self) -> npt.NDArray[Any]:
        """Weights of the linear terms, of shape (n_outputs, n_features)."""
        scale = self._units()[1]
        weights = self.embedding_[:, -len(self._biases) :].T
        return (weights * scale[:, np.newaxis]).astype(np.float32)

    @property
    def factors_(self) -> npt.NDArray[Any]:
        """Factors of the columns, of shape (n_outputs, n_features, embedding_dim)."""
        num_outputs, num_columns = len(self._biases), len(self.embedding_)
        factors = self.embedding_[:, :-num_outputs].reshape(num_columns, num_outputs, -1)
        scale = np.sqrt(self._units()[1])[:, np.newaxis, np.newaxis]
        return (factors.transpose(1, 0, 2) * scale).astype(np.float32)

    def _units(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return location and scale (K,) of scores in the units of y."""
        return np.zeros(len(self._biases)), np.ones(len(self._biases))

    def _network(
        self,
        examples: Examples,
        used: npt.NDArray[np.integer[Any]],
        state: State,
        going_on: bool,
    ) -> Network:
        dim = self.embedding_dim
        if going_on:
            table, biases = trainable_table(self.embedding_), self._biases
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
        table = table_of(self.embedding_, "embedding_", X.shape[1]).weight
        bags = bags_of(X, _FLOAT32)
        location, scale = self._units()
        scores = scores_of_factors(bags, table, self._biases, self.num_threads, np.float64)
        return (scores * scale + location).astype(dtype)
