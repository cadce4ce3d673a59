"""The recommender, which ranks items for users by vectors of their histories or of their own."""

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ebagx._core.modes import MODES, WEIGHTED_MODES
from ebagx._core.table import Table
from ebagx._training.bags import scaled_for, weighted_sums
from ebagx._training.loop import Plan
from ebagx._training.network import Floats
from ebagx._training.optimizers import State, set_learning_rate
from ebagx._training.pair_steps import LOSSES
from ebagx._training.pairs import bags_beside, own_rows, with_shape
from ebagx.optim import Optimizer
from ebagx.sklearn.inputs import as_features
from ebagx.sklearn.interactions import (
    as_entity_features,
    as_interactions,
    as_pairs,
    check_columns,
)
from ebagx.sklearn.parameters import SIZE, Constraints, Flag, OneOf
from ebagx.sklearn.passes import MadeInPasses
from ebagx.sklearn.ranking import RanksItems
from ebagx.sklearn.towers import Csr, LearnsTowers

__all__ = ["EmbeddingBagRecommender"]


class EmbeddingBagRecommender(
    LearnsTowers,
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
    loss : {"warp", "bpr", "logistic", "softmax"}, default="warp"
        Loss that training lowers. "warp" compares an item of the user with the first of some
        random ones that comes too close to it, and counts for more the fewer it had to draw: it
        is best at the top of the ranking. "bpr" compares with one item, drawn by popularity;
        "logistic" tells interactions from such items; "softmax" compares with all of the
        `negatives` items that a step draws.
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
    negatives : int, default=256
        Number of items that a step draws for "softmax".
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
    latter, interactions and items drawn are equally many, so there is no intercept. The loss of
    softmax is -c · log(exp(z) / (exp(z) + Σ exp(z'))), with the sum over the `negatives` items
    drawn for the batch that the user has not, by the root of their frequency, and with repetition;
    z is the score less log(K q), where K is `negatives` and q the probability of the item in a
    draw [4]_.

    An item without interactions has no row of its own if it has features, and is not drawn: the
    rows of its features, learned from other items, carry it. Without features it is drawn like
    any item.

    Sums of a batch are added up before its step, and a draw is a function of the seed and its
    number: so bits do not depend on the number of threads. All draws of a batch are rated by the
    items' vectors; with features, these are pooled about once in I interactions.

    Cost: a pass takes, for each interaction, up to `max_sampled` products of length D, and the
    lookups of its item; and for each user of a batch, those of their history. Memory beside `X`:
    the tables, the state of the optimizer, and with features the items' vectors.

    Ctrl-C and divergence are as in `EmbeddingBagClassifier`. Methods may be called by many threads
    at the same time, except `fit` and `partial_fit`, which change the tables in place: train a deep
    copy of a model that is in use.

    References
    ----------
    .. [1] Kabbur, Ning, Karypis: FISM: factored item similarity models for top-N recommender
       systems, KDD 2013.
    .. [2] Weston, Bengio, Usunier: WSABIE: scaling up to large vocabulary image annotation, IJCAI
       2011.
    .. [3] Rendle, Freudenthaler, Gantner, Schmidt-Thieme: BPR: Bayesian personalized ranking from
       implicit feedback, UAI 2009.
    .. [4] Yi and others: Sampling-bias-corrected neural modeling for large corpus item
       recommendations, RecSys 2019.

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
        "max_sampled": SIZE,
        "negatives": SIZE,
    }

    _fixed: ClassVar[tuple[str, ...]] = (
        *("embedding_dim", "user", "mode", "item_identity", "user_identity"),
    )
    _fitted_name: ClassVar[str] = "item_embedding_"
    _data_names: ClassVar[str] = "X or the features"
    _num_optimizers = 2
    _optimizer_options: ClassVar[dict[str, float]] = {"initial_accumulator_value": 1.0}

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
        negatives: int = 256,
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
        self.negatives = negatives
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
            self._own_arrays()
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
                keeps_state=bool(self.warm_start),
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
            self._own_arrays()
            state: State | None = getattr(self, "_state", None) if going_on else None
            data = self._checked(X, user_features, item_features, sample_weight, going_on)
            if state is None:
                state = State(self._new_rng(), self._new_optimizers(), self.random_state)
            else:
                state = state.under(self)
            set_learning_rate(state.optimizers, self, None)
            verbose = bool(self.verbose)
            plan = Plan(self.batch_size, max_iter=1, verbose=verbose, keeps_state=True)
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

    def predict(
        self, X: Any, pairs: Any = None, *, user_features: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return the scores of pairs of a user and an item.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, I)
            Interactions of users. An item of a pair that the user has counts in their history, too.
        pairs : array-like of int, shape (n, 2), optional
            Rows of `X` and items; None: all pairs.
        user_features : {array-like, sparse matrix} of shape (m, F), optional
            Features of these users.

        Returns
        -------
        ndarray of shape (n,) or (m, I), float64
            Larger scores are better; those that `recommend` gives for the same pairs.
        """
        rows = self._checked_rows(X)
        users = self._user_vectors(rows, user_features).astype(np.float64)
        vectors, bias = self._items(users.shape[1])
        if pairs is None:
            scores = np.tile(bias.astype(np.float64), (len(users), 1))
            users = users[:, np.newaxis]
        else:
            of_pairs, items = as_pairs(pairs, rows.shape)
            users, vectors = users[of_pairs], vectors[items]
            scores = bias[items].astype(np.float64)
        for column in range(vectors.shape[1]):  # in the order in which `recommend` adds
            scores += users[..., column] * vectors[:, column]
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

    def _checked_rows(self, X: Any) -> Csr:
        """Return interactions (m, I) as CSR whose rows ascend."""
        check_is_fitted(self, self._fitted_name)
        self._check_unchanged("user", "mode", "user_identity")
        X = as_features(X, self, np.float32)
        if len(getattr(X, "shape", ())) == 2:
            check_columns(X, self.n_features_in_, type(self).__name__)
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
        if width < 0:  # it may have been assigned
            num_rows = len(self.user_embedding_)
            raise ValueError(
                f"user_embedding_ must have at least {own.shape[1]} rows, got {num_rows}"
            )
        if features is not None and features.shape[1] != width:
            raise ValueError(
                f"user_features must have {width} columns as in fit, got {features.shape[1]}"
            )
        bags = scaled_for(MODES[self.mode], bags_beside(own, features))
        table = Table.of(self.user_embedding_, "user_embedding_")
        return weighted_sums(bags, table, self.num_threads)
