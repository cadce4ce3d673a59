"""`Learner` trains the weights of text classifiers, also those of a model that grows."""

import copy
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from ebagx._training.examples import Examples
from ebagx._training.growth import Places, grown, grown_optimizer
from ebagx._training.loop import History, Plan
from ebagx._training.network import initial_rows
from ebagx._training.optimizers import State
from ebagx.optim import Optimizer
from ebagx.sklearn.classifier import EmbeddingBagClassifier
from ebagx.text.accumulators import Accumulators
from ebagx.text.features import LineBags
from ebagx.text.pretrained import Rows

_Floats = npt.NDArray[np.float32]


class Learner(EmbeddingBagClassifier):
    """The estimator in a text classifier, which learns positions of labels from bags of columns.

    Its `fit`, too, goes on with the weights that there are. Each training goes on with the sums of
    squared gradients of the one before, which `settle` makes small.
    """

    _accumulators: Accumulators | None = None
    _new_labels: Places = np.zeros(0, np.intp)  # that no training has seen

    def begin(
        self,
        weights: tuple[_Floats, _Floats, _Floats],
        accumulators: Accumulators | None,
        is_multilabel: bool,
        table_eps: float | None = None,
    ) -> Self:
        """Go on with these weights: of the table, which are used in place, and of the layer."""
        self.embedding_, self.coef_, self.intercept_ = weights
        self.n_features_in_ = len(self.embedding_)
        self.classes_, self.multilabel_ = np.arange(len(self.coef_)), is_multilabel
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
            lookups = max(int(bags.most_lookups().sum()), bags.num_bags)
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
        other.begin((table, *head), kept, self.multilabel_, self._table_eps)
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

    def begin_anew(self, num_columns: int, num_labels: int, is_multilabel: bool) -> Self:
        """Begin with the weights of a new model, to `place` rows in it."""
        dim = self.embedding_dim
        head = np.zeros((num_labels, dim), np.float32), np.zeros(num_labels, np.float32)
        table = np.empty((num_columns, dim), np.float32)
        self._draw(table, np.zeros(0, np.intp))
        self._new_labels = np.arange(num_labels)
        return self.begin((table, *head), None, is_multilabel)

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
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        rng = np.random.default_rng((seed, len(known)))
        table[new] = initial_rows(np.arange(len(new)), (len(new), table.shape[1]), rng)
