"""`LearnsExamples` trains rows of a table, and layers, on examples, whatever the model is."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._training.examples import BagMaker, Examples
from ebagx._training.loop import History, Plan, train
from ebagx._training.losses import Loss, targets_of
from ebagx._training.network import Floats, Network
from ebagx._training.optimizers import State, set_learning_rate
from ebagx._training.passes import TrainedInPasses

Weights = npt.NDArray[np.float64] | None


class Training(NamedTuple):
    """A training that has ended, as `_take_over` takes it."""

    history: History
    earlier: list[float]  # losses of the passes before
    plan: Plan

    def __repr__(self) -> str:
        return f"Training({len(self.history.losses)} passes)"


class LearnsExamples(TrainedInPasses, ABC):
    """Trainings of the rows of a table together with what turns them into scores.

    Estimators of scikit-learn and the learner of text models are such objects. They check what they
    are given, make examples of it, train, and pass the result to `_take_over`.
    """

    _fixed: ClassVar[tuple[str, ...]] = ("embedding_dim",)

    batch_size: int
    max_iter: int
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    warm_start: bool
    verbose: bool | int

    n_features_in_: int
    embedding_: Floats
    intercept_: Any

    def _trained(self, examples: Examples, going_on: bool) -> Training:
        """Make the passes of a fit with new optimizers, from new weights or the present ones."""
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
            bool(self.verbose),
            self._num_negatives(),
            start_counts=going_on,
            keeps_state=bool(self.warm_start),
        )
        set_learning_rate(state.optimizers, self, plan.num_steps(examples))
        history = self._train(examples, plan, state, going_on)
        set_learning_rate(state.optimizers, self, None)
        if not self.warm_start:
            self.__dict__.pop("_state", None)  # as large as the model, or larger
        return Training(history, [], plan)

    def _trained_on(self, examples: Examples, going_on: bool) -> Training:
        """Make one pass that goes on with the model and the state of its optimizers, if any."""
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
        return Training(self._train(examples, plan, state, going_on), earlier, plan)

    @abstractmethod
    def _loss(self) -> Loss:
        """Return the loss to train with."""

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

    def _weighted(
        self, bags: Bags | BagMaker, targets: Any, weights: Weights, going_on: bool
    ) -> Examples:
        """Return examples, without those of weight 0; there may be none."""
        examples = self._arranged(Examples(bags, targets, None), going_on)
        if weights is None:
            return examples
        examples = examples._replace(weights=weights.astype(np.float32))
        return examples if weights.all() else examples.take(np.flatnonzero(weights))

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
        # A name for the used columns would keep them, 8 bytes a row, in memory until the end.
        network = self._network(
            examples, examples.used_columns(self.n_features_in_), state, going_on
        )
        history = train(network, self._loss(), examples, plan, state.rng)
        if history.diverged and not (going_on or history.losses):
            self._forget()
            return history
        self._keep(network)
        self._made_with = {name: getattr(self, name) for name in self._fixed}
        self._state = state
        return history


def check_not_empty(examples: Examples) -> Examples:
    """Return examples; raise ValueError if weights of classes have left none of them."""
    if not examples.num_bags:
        raise ValueError("class_weight leaves no row a weight above 0")
    return examples
