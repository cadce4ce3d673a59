"""`Learner` trains the weights of text classifiers, also those of a model that grows."""

import copy
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.bags import Bags
from ebagx._training.bags import bags_of, table_of
from ebagx._training.examples import Examples
from ebagx._training.growth import Places, grown, grown_optimizer
from ebagx._training.labels import LearnsLabels, balanced_weights, weights_of_rows
from ebagx._training.learning import Weights, check_not_empty
from ebagx._training.loop import History, Plan
from ebagx._training.network import initial_rows
from ebagx._training.optimizers import State
from ebagx._training.passes import drawn_seed
from ebagx._training.pooled import LearnsPooled
from ebagx.optim import Optimizer
from ebagx.text.accumulators import Accumulators
from ebagx.text.features import LineBags
from ebagx.text.pretrained import Rows

_MOST_LOOKUPS_IN_MEMORY = 1 << 22  # 32 MB of columns and counts

_Floats = npt.NDArray[np.float32]


class Options(NamedTuple):
    """Options of a learner, under the names that `EmbeddingBagClassifier` has for them."""

    embedding_dim: int
    multilabel_: bool  # whether a line may have several labels, or none
    learning_rate: float
    schedule: str | None
    batch_size: int
    max_iter: int
    negatives: int | None
    class_weight: str | npt.NDArray[np.float64] | None  # (K,), or "balanced"
    early_stopping: bool
    n_iter_no_change: int
    random_state: Any
    num_threads: int | None
    validation_fraction: float = 0.1
    tol: float = 1e-4
    verbose: bool | int = False

    def __repr__(self) -> str:
        return f"Options({self.embedding_dim} dimensions, {self.max_iter} passes)"


class Learner(LearnsLabels, LearnsPooled):
    """The part of a text classifier that learns positions of labels from bags of columns.

    It is the core of `EmbeddingBagClassifier` without scikit-learn, which takes a second and 120 MB
    to import. Its `fit`, too, goes on with the weights that there are. Each training goes on with
    the sums of squared gradients of the one before, which `settle` makes small.

    Parameters
    ----------
    options : Options
        Options of its trainings, which have been checked.
    """

    mode, hidden, optimizer, alpha, warm_start = "mean", None, "adagrad", 0.0, True

    class_weight: str | npt.NDArray[np.float64] | None
    _accumulators: Accumulators | None = None
    _new_labels: Places = np.zeros(0, np.intp)  # that no training has seen

    def __init__(self, options: Options) -> None:
        self.follow(options)

    def __repr__(self) -> str:
        return f"Learner({self.embedding_dim} dimensions)"

    def follow(self, options: Options) -> None:
        """Learn with these options from now on."""
        vars(self).update(options._asdict())

    def fit(self, bags: LineBags, labels: sparse.csr_array, weights: Weights = None) -> Self:
        """Make the passes of a training, from new weights or those that there are.

        Parameters
        ----------
        bags : LineBags
            The lines.
        labels : csr_array of shape (n, K)
            Ones for the labels of each line, one for each entry.
        weights : ndarray of shape (n,), optional
            The weight of each line in the loss.

        Raises
        ------
        ValueError
            If weights of labels leave no line, or if the loss diverges: see
            `EmbeddingBagClassifier.fit`.
        """
        going_on = self._is_fitted()
        with self._unchanged_by_errors():
            training = self._trained(self._examples(bags, labels, weights, going_on), going_on)
        self._take_over(*training)
        return self

    def fit_one_pass(
        self, bags: LineBags, labels: sparse.csr_array, weights: Weights = None
    ) -> Self:
        """Make one pass that goes on with the whole state of the optimizer, as `fit` else."""
        going_on = self._is_fitted()
        with self._unchanged_by_errors():
            training = self._trained_on(self._examples(bags, labels, weights, going_on), going_on)
        self._take_over(*training)
        return self

    def begin(
        self,
        weights: tuple[_Floats, _Floats, _Floats],
        accumulators: Accumulators | None,
        table_eps: float | None = None,
    ) -> Self:
        """Go on with these weights: of the table, which are used in place, and of the layer."""
        self.embedding_, self.coef_, self.intercept_ = weights
        self.n_features_in_ = len(self.embedding_)
        self._accumulators, self._table_eps = accumulators, table_eps
        return self

    def expect(self, bags: LineBags) -> Self:
        """Choose the `eps` of the table's optimizer for the first bags to learn from.

        It is the order of the gradient that one lookup adds to its row: the part of a line that the
        lookup is, times the part of a batch that the line is. With a smaller one, Adagrad moves the
        rows of rare features as far as others, however small their gradients are, and learns noise
        by heart. The accuracy on short posts is 0.736 with it and 0.728 without, the mean of 14
        corpora 0.816 and 0.815; half and four times as much also give 0.815 or more.
        """
        if self._table_eps is None:
            lookups = max(int(bags.most_lookups().sum(dtype=np.int64)), bags.num_bags)
            self._table_eps = bags.num_bags / (self.batch_size * lookups)
        return self

    def enlarged(self, columns: Places, num_columns: int, labels: Places, num_labels: int) -> Self:
        """Return a copy with arrays of its own, in which columns and labels have other places.

        Parameters
        ----------
        columns, labels : ndarray of int
            The new place of each column of bags, and of each label.
        num_columns, num_labels : int
            How many there are then. New columns begin at random, new labels with zeros.
        """
        other = copy.copy(self)
        table = grown(self.embedding_, columns, num_columns)
        self._draw(table, columns)
        head = grown(self.coef_, labels, num_labels), grown(self.intercept_, labels, num_labels)
        kept = self._accumulators
        if kept is not None:
            kept = Accumulators(
                grown(kept.rows_n, columns, num_columns), grown(kept.head_lk, labels, num_labels)
            )
        other.begin((table, *head), kept, self._table_eps)
        other._new_labels = np.setdiff1d(np.arange(num_labels), labels)
        state: State | None = getattr(self, "_state", None)
        if state is not None:
            sizes = (columns, num_columns), (labels, num_labels)
            optimizers = [
                grown_optimizer(optimizer, *size)
                for optimizer, size in zip(state.optimizers, sizes, strict=True)
            ]
            other._state = State(copy.deepcopy(state.rng), optimizers, state.random_state)
        return other

    def begin_anew(self, num_columns: int, num_labels: int) -> Self:
        """Begin with the weights of a new model, to `place` rows in it."""
        dim = self.embedding_dim
        head = np.zeros((num_labels, dim), np.float32), np.zeros(num_labels, np.float32)
        table = np.empty((num_columns, dim), np.float32)
        self._draw(table, np.zeros(0, np.intp))
        self._new_labels = np.arange(num_labels)
        return self.begin((table, *head), None)

    def place(self, rows: Rows) -> None:
        """Begin with given values in some rows of the table."""
        self.embedding_[rows.columns] = rows.values
        if not rows.are_frozen:
            return
        # Adagrad divides by the root of this, so that no step moves the row.
        state: State | None = getattr(self, "_state", None)
        if state is not None:
            state.optimizers[0].state_dict()["squares"][rows.columns] = np.inf
            return
        if self._accumulators is None:
            num_labels, dim = self.coef_.shape
            zeros = np.zeros(len(self.embedding_), np.float32)
            self._accumulators = Accumulators(zeros, np.zeros((num_labels, dim + 1), np.float32))
        self._accumulators.rows_n[rows.columns] = np.inf

    def accumulators(self) -> Accumulators | None:
        """Return the sums with which another training goes on, None if there are none."""
        state: State | None = getattr(self, "_state", None)
        return self._accumulators if state is None else Accumulators.of(state.optimizers)

    def settle(self) -> Self:
        """Keep a number a row of the optimizers' state, which has the size of the table."""
        self._accumulators = self.accumulators()
        self.__dict__.pop("_state", None)
        return self

    def _examples(
        self, bags: LineBags, labels: sparse.csr_array, weights: Weights, going_on: bool
    ) -> Examples:
        """Return the examples that lines are, without those of weight 0."""
        self.expect(bags).n_features_in_ = bags.num_columns
        if going_on:
            table = table_of(self.embedding_, "embedding_", self.n_features_in_)
            table.check_writeable("training")
        if self.class_weight is not None:
            given = self.class_weight
            of_label = balanced_weights(labels) if isinstance(given, str) else given
            of_lines = weights_of_rows(of_label, labels)
            weights = of_lines if weights is None else of_lines * weights
        return check_not_empty(self._weighted(_bags_to_learn(bags), labels, weights, going_on))

    def _train(self, examples: Examples, plan: Plan, state: State, going_on: bool) -> History:
        if going_on and len(self._new_labels):
            # Its head is a copy, as there are new labels.
            start = self._initial_intercept(examples)
            self.intercept_[self._new_labels] = start[self._new_labels]
        self._new_labels = self._new_labels[:0]
        return super()._train(examples, plan, state, going_on)

    def _new_optimizers(self) -> list[Optimizer]:
        optimizers = super()._new_optimizers()
        if self._accumulators is not None:
            self._accumulators.give_to(optimizers, self.embedding_.shape[1])
        return optimizers

    def _draw(self, table: _Floats, known: Places) -> None:
        """Draw the rows of a table that are not known, with numbers that no other call draws."""
        is_new = np.ones(len(table), bool)
        is_new[known] = False
        (new,) = np.nonzero(is_new)
        rng = np.random.default_rng((drawn_seed(self.random_state), len(known)))
        table[new] = initial_rows(np.arange(len(new)), (len(new), table.shape[1]), rng)


def _bags_to_learn(bags: LineBags) -> Bags | LineBags:
    """Return bags, in memory where they take little of it.

    To make a lookup again in each epoch takes 20 ns, as long as to train on one of a small table.
    """
    is_small = int(bags.most_lookups().sum(dtype=np.int64)) <= _MOST_LOOKUPS_IN_MEMORY
    return bags_of(bags.matrix(), np.dtype(np.float32)) if is_small else bags
