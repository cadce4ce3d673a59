"""The recommender, which ranks items for users by vectors of their histories or of their own."""

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ebagx._core.bags import Bags
from ebagx._core.memory import aligned_zeros
from ebagx._core.modes import MODES, WEIGHTED_MODES
from ebagx._core.table import Table
from ebagx._core.top import Excluded, top_items
from ebagx._training.bags import scaled_for, weighted_sums
from ebagx._training.growth import grown, grown_optimizer
from ebagx._training.loop import History, Plan, make_passes
from ebagx._training.network import Floats, trainable_table
from ebagx._training.optimizers import State, set_learning_rate
from ebagx._training.pair_steps import LOSSES, PairSteps, Sampling
from ebagx._training.pairs import (
    PairBags,
    Positives,
    Towers,
    bags_beside,
    own_rows,
    part_of,
    places_after_growth,
    rows_in_use,
    start_rows,
    totals_of,
    with_shape,
)
from ebagx.metrics import ndcg_at_k
from ebagx.optim import Optimizer
from ebagx.sklearn.inputs import as_features
from ebagx.sklearn.interactions import (
    as_entity_features,
    as_interactions,
    as_pairs,
    check_columns,
    check_some,
)
from ebagx.sklearn.parameters import Constraints, Flag, Integer, OneOf
from ebagx.sklearn.passes import MadeInPasses
from ebagx.sklearn.ranking import RanksItems
from ebagx.sklearn.weights import checked_weights

__all__ = ["EmbeddingBagRecommender"]

_MOST_RANKED = 2000  # users for whom early stopping ranks the items after each pass
_FLOAT32 = np.dtype(np.float32)

Csr = sparse.csr_array


class _Data(NamedTuple):
    """Checked arguments of a fit."""

    X: Csr
    user_features: Csr | None
    item_features: Csr | None
    sample_weight: npt.NDArray[np.float64] | None


class EmbeddingBagRecommender(
    MadeInPasses,
    RanksItems,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Recommend items to users: vectors of users and items are pooled rows of two tables.

    A row of `X` is a user, a column an item, and a stored value above 0 an interaction with its
    weight. The score of an item for a user is the product of their vectors, plus the bias of the
    item. Training raises the scores of the items that a user has above those of others.

    Parameters
    ----------
    embedding_dim : int, default=32
        Length D of the vectors.
    loss : {"warp", "bpr", "logistic"}, default="warp"
        Loss that training lowers. "warp" compares an item of the user with the first of some
        random ones that comes too close to it, and counts for more the fewer it had to draw: it
        is best at the top of the ranking. "bpr" compares with one item, drawn by popularity;
        "logistic" tells interactions from such items.
    user : {"history", "id"}, default="history"
        The vector of a user is pooled from rows of the items in their row of `X`, so that anyone
        with a history can be recommended to; or from a row of their own, then row k of each `X`
        is user k.
    mode : {"sqrtn", "mean", "sum"}, default="sqrtn"
        Divide the weighted sum of a bag by the root of the sum of squared weights, by the sum of
        the weights' absolute values, or not at all.
    item_identity : bool, default=True
        Give each item a row of its own beside its features. Without features they need it.
    user_identity : bool, default=True
        The same for users. Not used with ``user="history"``, whose users have none.
    max_sampled : int, default=10
        Largest number of items that "warp" draws for an interaction.
    learning_rate : float, default=0.05
        Step size at the start. Not used with an optimizer object or a callable `schedule`.
    optimizer : {"adagrad", "rowwise_adagrad", "sgd", "adam", "adamw"} or object, default="adagrad"
        Rule of the steps; see `EmbeddingBagClassifier`. The accumulators of those by name start
        at 1, for gentle first steps.
    schedule : {"linear", "cosine"}, callable or None, default=None
        Fall of the rate; see `EmbeddingBagClassifier`.
    batch_size : int, default=256
        Number of interactions per step. Their gradients are added up.
    max_iter : int, default=15
        Number of passes over the interactions.
    alpha : float, default=0.0
        Weight decay of touched rows: L2, for "adamw" decoupled. Not used with an optimizer object.
    early_stopping : bool, default=False
        Hold out a part of the interactions, and stop when their NDCG no longer rises. The model of
        the best pass is kept. `partial_fit` takes no notice.
    validation_fraction : float, default=0.1
        Fraction of the interactions that is held out, between 0 and 1.
    n_iter_no_change : int, default=3
        Number of passes without a rise by `tol` after which training stops early.
    tol : float, default=1e-4
        Smallest rise that counts.
    warm_start : bool, default=False
        Let `fit` go on with the tables of the fitted model, but a new optimizer. The optimizer's
        state is kept for `partial_fit`, in pickles too.
    random_state : int, RandomState instance or None, default=None
        Seed of the first tables, the order of the interactions and the draws. With an int, the
        fitted numbers are the same in every run, on every machine, whatever `num_threads` is.
    verbose : bool or int, default=False
        Show a progress bar (needs tqdm).
    num_threads : int or None, default=None
        Number of threads; with None, ebagx chooses it.

    Attributes
    ----------
    n_features_in_ : int
        Number of items I.
    item_vectors_ : ndarray of shape (I, D), float32
        Vectors of the items.
    item_bias_ : ndarray of shape (I,), float32
        Their biases.
    user_embedding_ : ndarray of shape (N, D), float32
        Rows of which users' vectors are pooled: one for each item of a history, or each user, then
        one for each of the users' features.
    item_embedding_ : ndarray of shape (M, D + 1), float32
        Rows of which items' vectors are pooled, and biases in the last column: one for each item,
        then one for each of the items' features.
    item_features_ : csr_array of shape (I, F) or None
        Features of the items.
    user_features_ : csr_array of shape (U, F) or None
        Features of the users, with ``user="id"``.
    n_users_ : int
        Number of users that have a row, with ``user="id"``, else 0.
    loss_curve_ : list of float
        Mean loss of each pass, taken before each step.
    validation_scores_ : list of float or None
        NDCG@10 of the interactions held out after each pass, with early stopping.
    best_validation_score_ : float or None
        The highest of them.
    best_iter_ : int
        The pass, counted from 1, whose model was kept.
    n_iter_ : int
        Number of passes made.

    See Also
    --------
    ebagx.metrics : Measures of rankings.
    EmbeddingBagClassifier : Predict labels from bags.

    Notes
    -----
    In training, a user's bag lacks the item that is compared [1]_, and an item is never compared
    with another one that the user has. WARP's loss [2]_ of an interaction of weight c, after k
    draws, is c · min(10, log max(1, (I - 1) // k)) · (1 - s + s'), where s is the score of the item
    and s' that of the first item drawn with s' > s - 1. BPR's loss [3]_ is
    c · log(1 + exp(s' - s)), the logistic one c · (log(1 + exp(-s)) + log(1 + exp(s'))). In the
    latter, interactions and items drawn are equally many, so there is no intercept.

    An item without interactions has no row of its own if it has features, and is not drawn: the
    rows of its features, learned from other items, carry it. Without features it is drawn like
    any item.

    Sums of a batch are added up before its step, and a draw is a function of the seed and its
    number: so bits do not depend on the number of threads. All draws of a batch are rated by the
    items' vectors; with features, these are pooled about once in I interactions.

    Cost: a pass takes, for each interaction, up to `max_sampled` products of length D, and the
    lookups of its item; and for each user of a batch, those of their history. Memory beside `X`:
    the tables, the state of the optimizer, and with features the items' vectors.

    Ctrl-C and divergence are as in `EmbeddingBagClassifier`.

    References
    ----------
    .. [1] Kabbur, Ning, Karypis: FISM: factored item similarity models for top-N recommender
       systems, KDD 2013.
    .. [2] Weston, Bengio, Usunier: WSABIE: scaling up to large vocabulary image annotation, IJCAI
       2011.
    .. [3] Rendle, Freudenthaler, Gantner, Schmidt-Thieme: BPR: Bayesian personalized ranking from
       implicit feedback, UAI 2009.

    Examples
    --------
    >>> from ebagx.datasets import make_interactions
    >>> from ebagx.sklearn import EmbeddingBagRecommender
    >>> data = make_interactions(random_state=0)
    >>> model = EmbeddingBagRecommender(16, random_state=0).fit(data.train)
    >>> ids, scores = model.recommend(data.train[:2], n=5)
    >>> ids.shape
    (2, 5)
    >>> model.score(data.train, data.test) > 0.1
    True
    """

    _constraints: ClassVar[Constraints] = {
        **MadeInPasses._constraints,
        "loss": OneOf(tuple(LOSSES)),
        "user": OneOf(("history", "id")),
        "mode": OneOf(WEIGHTED_MODES),
        "item_identity": Flag(),
        "user_identity": Flag(),
        "max_sampled": Integer(1),
    }

    _fixed: ClassVar[tuple[str, ...]] = (
        *("embedding_dim", "user", "mode", "item_identity", "user_identity"),
    )
    _fitted_name: ClassVar[str] = "item_embedding_"
    _data_names: ClassVar[str] = "X or the features"
    _num_optimizers = 2
    _optimizer_options: ClassVar[dict[str, dict[str, float]]] = {
        name: {"initial_accumulator_value": 1.0} for name in ("adagrad", "rowwise_adagrad")
    }

    n_features_in_: int
    n_users_: int
    user_embedding_: Floats
    item_embedding_: Floats
    item_features_: Csr | None
    user_features_: Csr | None
    _has_row: npt.NDArray[np.bool_]  # items with a row of their own

    def __init__(
        self,
        embedding_dim: int = 32,
        *,
        loss: str = "warp",
        user: str = "history",
        mode: str = "sqrtn",
        item_identity: bool = True,
        user_identity: bool = True,
        max_sampled: int = 10,
        learning_rate: float = 0.05,
        optimizer: str | Optimizer = "adagrad",
        schedule: Any = None,
        batch_size: int = 256,
        max_iter: int = 15,
        alpha: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        num_threads: int | None = None,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.loss = loss
        self.user = user
        self.mode = mode
        self.item_identity = item_identity
        self.user_identity = user_identity
        self.max_sampled = max_sampled
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.alpha = alpha
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.num_threads = num_threads

    def fit(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002 - scikit-learn's form of a call
        *,
        user_features: Any = None,
        item_features: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn vectors of users and items from interactions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (U, I)
            Weights of interactions above 0, 1 for each if they are only seen or not. What is not
            stored is no interaction; a sparse matrix must store no zeros.
        y : None
            Not used.
        user_features : {array-like, sparse matrix} of shape (U, F), optional
            Weights of the users' features.
        item_features : {array-like, sparse matrix} of shape (I, F'), optional
            Weights of the items' features, which the model keeps.
        sample_weight : array-like of shape (U,), optional
            Weight of each user's interactions in the loss, at least 0.

        Returns
        -------
        self : EmbeddingBagRecommender

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If `X` stores a number that is not above 0 or none at all, or has one item only; if
            features have another number of rows, or anything has a NaN; if a parameter has a value
            outside its range, or if the loss diverges. Then the model is that of the last pass with
            finite loss; if there is none, the estimator is not fitted.
        """
        self._check_parameters()
        going_on = bool(self.warm_start) and self._is_fitted()
        with self._unchanged_by_errors():
            data = self._checked(X, user_features, item_features, sample_weight, going_on)
            rng = self._new_rng()
            held_out = None
            if self.early_stopping:
                data, held_out = self._split(data, rng)
            state = State(rng, self._new_optimizers(), self.random_state)
            score = None if held_out is None else self._validation(data, held_out)
            plan = Plan(
                *(self.batch_size, self.max_iter, score, self.n_iter_no_change, self.tol),
                verbose=bool(self.verbose),
            )
            num_steps = -(-data.X.nnz // self.batch_size) * self.max_iter
            set_learning_rate(state.optimizers, self, num_steps)
            history = self._train(data, plan, state, going_on)
        set_learning_rate(state.optimizers, self, None)
        if not self.warm_start:
            self.__dict__.pop("_state", None)  # as large as the model, or larger
        self._take_over(history, [], plan)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002 - scikit-learn's form of a call
        *,
        user_features: Any = None,
        item_features: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Make one pass over some interactions, going on with the model if there is one.

        `X` may have more items than before, behind the known ones, and features more columns; with
        ``user="id"`` also more users. Their rows begin as they do in `fit`. What the model knows
        stays. After `fit`, the first call has a new optimizer, unless `warm_start` is True.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (U, I)
            Weights of interactions.
        y : None
            Not used.
        user_features : {array-like, sparse matrix} of shape (U, F), optional
            Features of these users.
        item_features : {array-like, sparse matrix} of shape (I, F'), optional
            Features of all items, which replace those of before. Without them, known items keep
            theirs, and new ones have none.
        sample_weight : array-like of shape (U,), optional
            Weight of each user's interactions in the loss, at least 0.

        Returns
        -------
        self : EmbeddingBagRecommender

        Raises
        ------
        TypeError, ValueError
            As in `fit`; also if `X` has fewer items than the model, or a parameter of the model has
            changed. If the loss diverges, the model stays as it was.
        """
        self._check_parameters()
        going_on = self._is_fitted()
        with self._unchanged_by_errors():
            state: State | None = getattr(self, "_state", None) if going_on else None
            data = self._checked(X, user_features, item_features, sample_weight, going_on)
            if state is None:
                state = State(self._new_rng(), self._new_optimizers(), self.random_state)
            else:
                state = state.under(self)
            set_learning_rate(state.optimizers, self, None)
            plan = Plan(self.batch_size, max_iter=1, verbose=bool(self.verbose))
            earlier = getattr(self, "loss_curve_", []) if going_on else []
            history = self._train(data, plan, state, going_on)
        self._take_over(history, earlier, plan)
        return self

    def transform(self, X: Any, *, user_features: Any = None) -> Floats:
        """Return the vectors of users.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, I)
            Interactions of the users. With ``user="id"``, row k stands for user k.
        user_features : {array-like, sparse matrix} of shape (m, F), optional
            Features of these users. With ``user="id"``, fitted users have those of `fit`.

        Returns
        -------
        ndarray of shape (m, D), float32
        """
        return self._user_vectors(self._checked_rows(X), user_features)

    def predict(self, X: Any, pairs: Any, *, user_features: Any = None) -> npt.NDArray[np.float64]:
        """Return the scores of pairs of a user and an item.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, I)
            Interactions of users. An item of a pair that the user has counts in their history, too.
        pairs : array-like of int, shape (n, 2)
            Rows of `X` and items.
        user_features : {array-like, sparse matrix} of shape (m, F), optional
            Features of these users.

        Returns
        -------
        ndarray of shape (n,), float64
            Larger scores are better; those that `recommend` gives for the same pairs.
        """
        rows = self._checked_rows(X)
        of_pairs, items = as_pairs(pairs, rows.shape)
        users = self._user_vectors(rows, user_features)[of_pairs]
        scores = self.item_bias_[items].astype(np.float64)
        for user_d, item_d in zip(users.T, self.item_vectors_[items].T, strict=True):
            scores += user_d.astype(np.float64) * item_d
        return scores

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `X` may be sparse and is above 0, and `transform` keeps float32."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.item_embedding_.shape[1]) - 1

    def _checked(
        self, X: Any, user_features: Any, item_features: Any, sample_weight: Any, going_on: bool
    ) -> _Data:
        """Return checked arguments; set the fitted attributes that describe them."""
        if going_on:
            self._check_unchanged(*self._fixed)
        known = self.n_features_in_ if going_on else 0
        X = as_features(X, self, np.float32)
        if going_on and np.ndim(X) == 2 and np.shape(X)[1] < known:
            check_columns(X, known)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32)
        X = as_interactions(X)
        check_some(X)
        weights = checked_weights(sample_weight, X)
        if user_features is not None:
            user_features = as_entity_features(user_features, "user_features", "user", X.shape)
        if item_features is not None:
            item_features = as_entity_features(item_features, "item_features", "item", X.shape)
        elif going_on and self.item_features_ is not None:
            item_features = with_shape(self.item_features_, X.shape[1])
        if going_on and self.user == "id":
            if X.shape[0] < self.n_users_:
                raise ValueError(
                    f"X must have a row for each of the {self.n_users_} users of the model, got "
                    f"{X.shape[0]}: with user='id', row k is user k, and may be empty"
                )
            if user_features is None and self.user_features_ is not None:
                user_features = with_shape(self.user_features_, X.shape[0])
        self._check_identities(user_features, item_features)
        return _Data(X, user_features, item_features, weights)

    def _check_identities(self, user_features: Any, item_features: Any) -> None:
        if not self.item_identity and item_features is None:
            raise ValueError("item_identity=False needs item_features, of which items are made")
        if self.user == "id" and not self.user_identity and user_features is None:
            raise ValueError("user_identity=False needs user_features, of which users are made")

    def _checked_rows(self, X: Any) -> Csr:
        """Return interactions (m, I) as CSR whose rows ascend."""
        check_is_fitted(self, self._fitted_name)
        self._check_unchanged("user", "mode", "user_identity")
        X = as_features(X, self, np.float32)
        if np.ndim(X) == 2:
            check_columns(X, self.n_features_in_)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return as_interactions(X)

    def _user_vectors(self, X: Csr, user_features: Any) -> Floats:
        """Return the vectors (m, D) of the users of checked interactions."""
        num_users, known = X.shape[0], self.n_users_
        if user_features is not None:
            features: Csr | None = as_entity_features(
                user_features, "user_features", "user", X.shape
            )
        else:
            features = None if self.user_features_ is None else self.user_features_[:num_users]
        if self.user == "id" and num_users > known and user_features is None:
            raise ValueError(
                f"X has {num_users} users, but the model has {known}: with user='id', row k is "
                "user k; partial_fit adds users, user_features describe others, and user='history' "
                "takes anyone's row"
            )
        own = X
        if self.user == "id":
            own = own_rows((np.arange(num_users) < known) & bool(self.user_identity))
            own = with_shape(own, num_users, known)
        width = len(self.user_embedding_) - own.shape[1]
        if features is not None and features.shape[1] != width:
            raise ValueError(
                f"user_features must have {width} columns as in fit, got {features.shape[1]}"
            )
        bags = scaled_for(MODES[self.mode], bags_beside(own, features))
        return weighted_sums(bags, Table(self.user_embedding_), self.num_threads)

    def _split(self, data: _Data, rng: np.random.Generator) -> tuple[_Data, Csr]:
        """Return the data to learn from, and interactions held out of them."""
        count = data.X.nnz
        if count < 2:
            raise ValueError("early_stopping needs at least 2 interactions, got 1")
        held_out = np.zeros(count, bool)
        size = min(max(1, round(self.validation_fraction * count)), count - 1)
        held_out[rng.permutation(count)[:size]] = True
        return data._replace(X=part_of(data.X, ~held_out)), part_of(data.X, held_out)

    def _validation(self, data: _Data, held_out: Csr) -> Any:
        """Return a function that rates towers by the ranking of interactions held out."""
        users = np.flatnonzero(np.diff(held_out.indptr))
        if len(users) > _MOST_RANKED:
            users = users[np.arange(_MOST_RANKED) * len(users) // _MOST_RANKED]
        seen, wanted = data.X[users], held_out[users]
        excluded = Excluded(seen.indptr, seen.indices)
        of_users, of_items = self._bags(data, users), self._item_bags(data)

        def score(towers: Towers) -> float:
            user_table, item_table = towers.tables
            vectors = weighted_sums(of_users, Table(user_table), self.num_threads)
            rows = self._pooled_items(item_table, of_items)
            best, bias = np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1])
            ids, _ = top_items(vectors, best, bias, 10, excluded, self.num_threads)
            return ndcg_at_k(ids, wanted, seen)

        return score

    def _own(self, data: _Data) -> Csr:
        """Return the part of the users' bags that is not features."""
        if self.user == "history":
            return data.X
        return own_rows(np.full(data.X.shape[0], bool(self.user_identity)))

    def _bags(self, data: _Data, users: Any = None) -> Bags:
        """Return bags of some or all users, with weights whose sums are their vectors."""
        own, features = self._own(data), data.user_features
        if users is not None:
            own = own[users]
            features = None if features is None else features[users]
        return scaled_for(MODES[self.mode], bags_beside(own, features))

    def _rows_of_items(self, data: _Data) -> npt.NDArray[np.bool_]:
        """Return which items have rows of their own: not those that only features describe."""
        seen = np.zeros(data.X.shape[1], bool)
        seen[data.X.indices] = True
        before = getattr(self, "_has_row", np.empty(0, bool))
        seen[: len(before)] |= before
        return seen

    def _item_bags(self, data: _Data) -> Bags | None:
        """Return bags of all items with the weights of sums; None: each is its own row."""
        if data.item_features is None:
            return None
        rows = own_rows(self._rows_of_items(data) & bool(self.item_identity))
        return scaled_for(MODES[self.mode], bags_beside(rows, data.item_features))

    def _pooled_items(self, table: Floats, bags: Bags | None) -> Floats:
        if bags is None:
            return table
        return weighted_sums(bags, Table(table), self.num_threads)

    def _tables(
        self, data: _Data, bags: PairBags, state: State, going_on: bool
    ) -> tuple[Floats, Floats]:
        """Return the tables of users and items, new ones or those of the model, perhaps grown."""
        num_users, num_items = data.X.shape
        of_users, of_items = num_items, num_items
        if self.user == "id":
            of_users = num_users
        sides = (
            ("user_embedding_", of_users, data.user_features, self.embedding_dim),
            ("item_embedding_", of_items, data.item_features, self.embedding_dim + 1),
        )
        tables = []
        for side, (name, own, features, width) in enumerate(sides):
            num_features = 0 if features is None else features.shape[1]
            if going_on:
                before = self.n_users_ if side == 0 and self.user == "id" else len(self._has_row)
                table = trainable_table(getattr(self, name))
                places = places_after_growth(len(table), before, own, num_features)
                num_rows = own + max(num_features, len(table) - before)
                if num_rows != len(table):
                    table = grown(table, places, num_rows)
                    state.optimizers[side] = grown_optimizer(
                        state.optimizers[side], places, num_rows
                    )
            else:
                table = aligned_zeros((own + num_features, width), _FLOAT32)
            tables.append(table)
        for table, of_side in zip(tables, (bags.users, bags.items), strict=True):
            start_rows(table, rows_in_use(of_side, len(table)), self.embedding_dim, state.rng)
        return tables[0], tables[1]

    def _set_fitted(self, data: _Data, towers: Towers, of_items: Bags | None) -> None:
        self.user_embedding_, self.item_embedding_ = towers.tables
        self.item_features_, self.user_features_, self.n_users_ = data.item_features, None, 0
        if self.user == "id":
            self.user_features_, self.n_users_ = data.user_features, data.X.shape[0]
        rows = self._pooled_items(self.item_embedding_, of_items)
        self.item_vectors_ = np.ascontiguousarray(rows[:, :-1])
        self.item_bias_ = np.ascontiguousarray(rows[:, -1])
        self._made_with = {name: getattr(self, name) for name in self._fixed}

    def _pair_bags(self, data: _Data) -> PairBags:
        of_items = self._item_bags(data)
        if self.user == "id":
            return PairBags(self._bags(data), np.empty(0), of_items, None)
        bags, norm = bags_beside(data.X, data.user_features), MODES[self.mode].norm
        return PairBags(bags, totals_of(bags, norm), of_items, norm)

    def _train(self, data: _Data, plan: Plan, state: State, going_on: bool) -> History:
        """Train a new model or the present one, and set the fitted attributes to its weights."""
        bags = self._pair_bags(data)
        optimizers = state.optimizers
        tables = self._tables(data, bags, state, going_on)
        positives = Positives.of(data.X, data.sample_weight)
        towers = Towers(*tables, optimizers, self.num_threads)
        has_row = self._rows_of_items(data)
        candidates = np.empty(0, np.int32)
        if bags.items is not None and not has_row.all():
            candidates = np.flatnonzero(has_row).astype(np.int32)
        sampling = Sampling(self.loss, self.max_sampled, int(state.rng.integers(2**63)), candidates)
        steps = PairSteps(towers, positives, bags, sampling, self.batch_size)
        history = make_passes(towers, steps, positives.num_entries, plan, state.rng)
        if history.diverged and not (going_on or history.losses):
            self._forget()
            return history
        self._set_fitted(data, towers, bags.items)
        self._has_row = has_row
        if history.diverged:
            self.__dict__.pop("_state", None)  # the optimizers may hold infinities
        else:
            self._state = state
        return history
