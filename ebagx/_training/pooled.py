"""`LearnsPooled` trains embeddings that are pooled, perhaps a hidden layer, and a linear head."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.modes import MODES
from ebagx._core.table import Table
from ebagx._training.bags import weighted_sums
from ebagx._training.examples import Examples
from ebagx._training.groups import Groups
from ebagx._training.learning import LearnsExamples
from ebagx._training.network import (
    Floats,
    Layer,
    Network,
    checked_layer,
    initial_layers,
    initial_rows,
    scores_of,
    trainable_table,
)
from ebagx._training.optimizers import State


class LearnsPooled(LearnsExamples):
    """Trainings of embeddings, perhaps a hidden layer, and a linear head end to end."""

    _fixed: ClassVar[tuple[str, ...]] = ("embedding_dim", "mode", "hidden")
    _groups: Groups | None = None  # of the columns of the fitted model

    embedding_dim: int
    mode: str
    hidden: int | None
    num_threads: int | None

    coef_: Floats
    intercept_: Floats
    hidden_coef_: Floats | None = None
    hidden_intercept_: Floats | None = None

    def _head_in_training(self, head: Layer) -> Layer:
        """Return the head that gives scores in the units of the loss."""
        return head

    def _head_after_training(self, head: Layer) -> Layer:
        """Return the head that gives scores in the units of y."""
        return head

    def _num_layers(self) -> int:
        return 1 if self.hidden is None else 2

    def _num_groups(self) -> int:
        return 1 if self._groups is None else self._groups.num_groups

    def _arranged(self, examples: Examples, going_on: bool) -> Examples:  # noqa: ARG002
        if self._groups is not None:
            assert isinstance(examples.bags, Bags)
            examples = examples._replace(
                bags=self._groups.apart(examples.bags), groups=self._groups.num_groups
            )
        return examples._replace(mode=MODES[self.mode])

    def _network(
        self,
        examples: Examples,
        used: npt.NDArray[np.integer[Any]],
        state: State,
        going_on: bool,
    ) -> Network:
        if going_on:
            table, layers = trainable_table(self.embedding_), self._layers()
            layers[-1] = self._head_in_training(layers[-1])
        else:
            table = initial_rows(used, (self.n_features_in_, self.embedding_dim), state.rng)
            num_inputs, num_scores = self.embedding_dim * examples.groups, examples.targets.shape[1]
            layers = initial_layers(num_inputs, self.hidden, num_scores, state.rng)
            layers[-1] = Layer(layers[-1].coef, self._initial_intercept(examples))
        return Network(table, layers, state.optimizers, used, self.num_threads)

    def _keep(self, network: Network) -> None:
        *hidden, head = network.layers
        self.embedding_ = network.table
        self.hidden_coef_, self.hidden_intercept_ = hidden[0] if hidden else (None, None)
        self.coef_, self.intercept_ = self._head_after_training(head)

    def _scores_in_training(self, network: Network, bags: Bags) -> Floats:
        pooled = weighted_sums(bags, Table(network.table), self.num_threads)
        return scores_of(self._side_by_side(pooled), network.layers)

    def _side_by_side(self, pooled: Floats) -> Floats:
        """Return the vectors of bags (n * G, D) as those of rows (n, G * D)."""
        groups = self._num_groups()
        return pooled.reshape(len(pooled) // groups, groups * pooled.shape[1])

    @property
    def _n_features_out(self) -> int:
        return int(np.shape(self.embedding_)[1]) * self._num_groups()

    def _layers(self) -> list[Layer]:
        width, hidden = self._n_features_out, []
        if self.hidden_coef_ is not None or self.hidden_intercept_ is not None:
            hidden = [checked_layer(self.hidden_coef_, self.hidden_intercept_, width, "hidden_")]
            width = len(hidden[0].coef)
        return [*hidden, checked_layer(self.coef_, self.intercept_, width)]
