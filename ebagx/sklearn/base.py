"""Base of the trained estimators: parameters, input, and fitting."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ebagx._core.bags import Bags
from ebagx._training.bags import bags_of, table_of
from ebagx._training.examples import BagMaker, Examples
from ebagx._training.loop import History, Plan, train
from ebagx._training.losses import Loss, targets_of
from ebagx._training.network import Floats, Network
from ebagx._training.optimizers import State, set_learning_rate
from ebagx.sklearn.inputs import as_features, as_targets
from ebagx.sklearn.passes import DivergenceError as DivergenceError
from ebagx.sklearn.saving import SavedInFolder
from ebagx.sklearn.weights import Weights, checked_weights

_FLOAT32 = np.dtype(np.float32)


class TrainedEstimator(SavedInFolder, BaseEstimator, ABC):  # type: ignore[misc]
    """Estimators that train the rows of a table together with what turns them into scores."""

    # Parameters that belong to a fitted model.
    _fixed: ClassVar[tuple[str, ...]] = ("embedding_dim",)

    n_features_in_: int
    embedding_: Floats
    intercept_: Any

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
            rng = self._new_rng()
            held_out = None
            if self.early_stopping:
                examples, held_out = self._split(examples, rng)
            state = State(rng, self._new_optimizers(), self.random_state)
            plan = Plan(
                self.batch_size,
                self.max_iter,
                None if held_out is None else self._validation(held_out),
                self.n_iter_no_change,
                self.tol,
                self.verbose,
                self._num_negatives(),
                start_counts=going_on,
                keeps_state=bool(self.warm_start),
            )
            set_learning_rate(state.optimizers, self, plan.num_steps(examples))
            history = self._train(examples, plan, state, going_on)
        set_learning_rate(state.optimizers, self, None)
        if not self.warm_start:
            self.__dict__.pop("_state", None)  # as large as the model, or larger
        self._take_over(history, [], plan)
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
            state: State | None = getattr(self, "_state", None) if going_on else None
            if state is None:
                state = State(self._new_rng(), self._new_optimizers(), self.random_state)
            else:
                state = state.under(self)
            set_learning_rate(state.optimizers, self, None)
            plan = Plan(
                self.batch_size,
                max_iter=1,
                verbose=bool(self.verbose),
                negatives=self._num_negatives(),
                keeps_state=True,
            )
            earlier = getattr(self, "loss_curve_", []) if going_on else []
            history = self._train(examples, plan, state, going_on)
        self._take_over(history, earlier, plan)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `X` may be sparse, and `y` is needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    @abstractmethod
    def _loss(self) -> Loss:
        """Return the loss to train with."""

    @abstractmethod
    def _encoded(
        self, y: Any, weights: Weights, going_on: bool, classes: npt.ArrayLike | None
    ) -> tuple[Any, Weights]:
        """Return targets (n, K) and weights; set the fitted attributes that describe `y`."""

    @abstractmethod
    def _network(
        self,
        examples: Examples,
        used: npt.NDArray[np.integer[Any]],
        state: State,
        going_on: bool,
    ) -> Network:
        """Return the fitted model, or a new one, as training takes it."""

    @abstractmethod
    def _keep(self, network: Network) -> None:
        """Set the fitted attributes to the weights of a network."""

    @abstractmethod
    def _scores_in_training(self, network: Network, bags: Bags) -> Floats:
        """Return the scores (n, K) of rows, in the units of the loss."""

    @abstractmethod
    def _scores(self, X: Any, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """Return the scores (n, K) of rows, in the units of y."""

    def _num_layers(self) -> int:
        """Return the number of layers, each of which has an optimizer."""
        return 1

    def _arranged(self, examples: Examples, going_on: bool) -> Examples:  # noqa: ARG002
        """Return examples with the bags that the model pools, and its mode."""
        return examples

    def _num_negatives(self) -> int | None:
        """Return the number of classes that each step draws; None: it uses all outputs."""
        return None

    def _stratified(
        self,
        examples: Examples,  # noqa: ARG002
        order: npt.NDArray[np.intp],
    ) -> npt.NDArray[np.intp]:
        """Return an order of the examples in which every n-th one gives a part like the whole."""
        return order

    def _score(self, scores: Floats, held_out: Examples) -> float:
        """Return the quality of the scores (n, K) of held-out bags: minus their mean loss."""
        losses = self._loss().of(np.ascontiguousarray(scores.T), targets_of(held_out.targets))
        return -float(np.average(losses, weights=held_out.weights))

    def _initial_intercept(self, examples: Examples) -> Floats:
        return np.zeros(examples.targets.shape[1], np.float32)

    @property
    def _num_optimizers(self) -> int:
        return 1 + self._num_layers()

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
        examples = self._weighted(bags, targets, weights, going_on)
        if not examples.num_bags:
            raise ValueError("class_weight leaves no row a weight above 0")
        return examples

    def _weighted(
        self, bags: Bags | BagMaker, targets: Any, weights: Weights, going_on: bool
    ) -> Examples:
        """Return examples, without those of weight 0."""
        examples = self._arranged(Examples(bags, targets, None), going_on)
        if weights is None:
            return examples
        examples = examples._replace(weights=weights.astype(np.float32))
        return examples if weights.all() else examples.take(np.flatnonzero(weights))

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

    def _split(self, examples: Examples, rng: np.random.Generator) -> tuple[Examples, Examples]:
        """Return the examples to learn from and those held out, which lie evenly among them."""
        num_bags = examples.num_bags
        if num_bags < 2:
            raise ValueError("early_stopping needs at least 2 samples, got 1 sample")
        order = self._stratified(examples, rng.permutation(num_bags))
        count = min(max(1, round(self.validation_fraction * num_bags)), num_bags - 1)
        chosen = np.zeros(num_bags, bool)
        chosen[((np.arange(count) + 0.5) * num_bags / count).astype(np.intp)] = True
        # Both parts keep the order of the examples, and a long table's rows stay together.
        return examples.take(np.sort(order[~chosen])), examples.take(np.sort(order[chosen]))

    def _validation(self, held_out: Examples) -> Any:
        held_out = held_out.scaled()

        def score(network: Network) -> float:
            parts = [self._scores_in_training(network, bags) for bags in held_out.blocks()]
            return self._score(np.concatenate(parts), held_out)

        return score

    def _train(self, examples: Examples, plan: Plan, state: State, going_on: bool) -> History:
        """Train a new model or the present one, and set the fitted attributes to its weights."""
        used = examples.used_columns(self.n_features_in_)
        network = self._network(examples, used, state, going_on)
        history = train(network, self._loss(), examples, plan, state.rng)
        if history.diverged and not (going_on or history.losses):
            self._forget()
            return history
        self._keep(network)
        self._made_with = {name: getattr(self, name) for name in self._fixed}
        self._state = state
        return history
