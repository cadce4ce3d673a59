"""The classifier: bags of features to classes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from ebagx.functional import embedding_bag, embedding_bag_backward
from ebagx.gradients import RowGradient
from ebagx.optim import Adagrad

__all__ = ["EmbeddingBagClassifier"]

_NORM_OF_MODE = {"mean": "l1", "sqrtn": "l2", "sum": None}
MODES = tuple(_NORM_OF_MODE)

_Floats = npt.NDArray[np.float32]


class EmbeddingBagClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify bags of features: pooled embedding rows under a linear softmax layer.

    This is fastText's model. A row of `X` is a bag, a column has an embedding, and the stored
    values are the weights with which the embeddings are pooled. Embeddings and linear layer
    are learned together, by Adagrad on shuffled mini-batches.

    Parameters
    ----------
    embedding_dim : int, default=32
        Length of the embeddings.
    mode : {"mean", "sqrtn", "sum"}, default="mean"
        Divide the weighted sum of a bag by the sum of its weights, by the root of the sum of
        their squares, or not at all. "mean" takes the weights' absolute values, since the
        signed ones of a `HashingVectorizer` may add up to nothing.
    learning_rate : float, default=0.1
        Adagrad's step.
    batch_size : int, default=64
        Bags per step.
    max_iter : int, default=10
        Number of passes over the data.
    random_state : int, RandomState instance or None, default=None
        Gives the initial embeddings and the order of the bags. With an int, the fitted
        numbers are the same in every run, whatever `num_threads` is.
    verbose : bool, default=False
        Show a progress bar (needs tqdm).
    num_threads : int or None, default=None
        Threads to use; None leaves it to ebagx.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of columns seen in `fit`.
    embedding_ : ndarray of shape (n_features, embedding_dim), float32
        The embedding table. Columns that `fit` met in no bag have rows of zeros.
    coef_ : ndarray of shape (n_classes, embedding_dim), float32
        Weights of the linear layer.
    intercept_ : ndarray of shape (n_classes,), float32
        Biases of the linear layer.
    loss_curve_ : list of float
        Mean cross-entropy of each pass, taken before each step.
    n_iter_ : int
        Number of passes made.

    Notes
    -----
    A step costs time in proportion to the entries of its batch, whatever the number of
    columns; sparse input stays sparse, dense input is converted to CSR. Beside the table,
    memory goes to Adagrad's state of the same size and to a float32 copy of the data.

    References
    ----------
    Joulin, Grave, Bojanowski, Mikolov: Bag of Tricks for Efficient Text Classification, 2017.
    Duchi, Hazan, Singer: Adaptive Subgradient Methods, 2011.

    Examples
    --------
    >>> from ebagx.datasets import load_wordnet10
    >>> from ebagx.sklearn import EmbeddingBagClassifier
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> texts, labels = load_wordnet10()
    >>> model = make_pipeline(CountVectorizer(), EmbeddingBagClassifier(random_state=0))
    >>> model.fit(texts[:8000], labels[:8000]).score(texts[8000:], labels[8000:]) > 0.8
    True
    >>> model.predict(["a small striped cat", "a pudding of apples and bread"])
    array(['animal', 'food'], dtype='<U13')
    """

    classes_: npt.NDArray[Any]
    n_features_in_: int
    embedding_: _Floats
    coef_: _Floats
    intercept_: _Floats
    loss_curve_: list[float]
    n_iter_: int

    def __init__(
        self,
        embedding_dim: int = 32,
        *,
        mode: str = "mean",
        learning_rate: float = 0.1,
        batch_size: int = 64,
        max_iter: int = 10,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        num_threads: int | None = None,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.mode = mode
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.num_threads = num_threads

    def fit(self, X: Any, y: npt.ArrayLike) -> Self:
        """Learn embeddings and linear layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : EmbeddingBagClassifier

        Raises
        ------
        ValueError
            If `X` has a NaN or infinity, `y` a single class, or a parameter a value outside
            its range, or if the loss diverges.
        """
        _check_parameters(self)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32)
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least 2 classes, got 1 class: {self.classes_[0]}")
        bags = _weighted_bags(X, self.mode)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        self.embedding_ = _initial_table(bags, self.embedding_dim, rng)
        self.coef_ = np.zeros((len(self.classes_), self.embedding_dim), np.float32)
        self.intercept_ = np.zeros(len(self.classes_), np.float32)
        # BLAS threads gain nothing on products this small, and their number may change bits.
        # A loss that overflows is reported by _train.
        blas_limit = threadpool_limits(limits=1, user_api="blas")
        with blas_limit, np.errstate(over="ignore", invalid="ignore"):
            try:
                self._train(bags, targets, rng)
            except FloatingPointError as error:
                del self.embedding_, self.coef_, self.intercept_, self.classes_
                raise ValueError(str(error)) from None
        return self

    def decision_function(self, X: Any) -> _Floats:
        """Return the scores of the classes before softmax.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Or, for two classes, of shape (n_samples,): the second's score minus the first's.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> _Floats:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
        """
        return _softmax(self._scores(X))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likeliest class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self._scores(X)
        classes: npt.NDArray[Any] = self.classes_[scores.argmax(axis=1)]
        return classes

    def __sklearn_tags__(self) -> Any:
        """Say that `X` may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _scores(self, X: Any) -> _Floats:
        check_is_fitted(self, "embedding_")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return self._score_batch(self._pool(_as_batch(_weighted_bags(X, self.mode))))

    def _pool(self, batch: "_Batch") -> _Floats:
        pooled: _Floats = embedding_bag(
            batch.indices,
            self.embedding_,
            batch.offsets,
            mode="sum",
            per_sample_weights=batch.weights,
            include_last_offset=True,
            num_threads=self.num_threads,
        )
        return pooled

    def _score_batch(self, pooled: _Floats) -> _Floats:
        return pooled @ self.coef_.T + self.intercept_

    def _train(
        self, bags: sparse.csr_array, targets: npt.NDArray[np.intp], rng: np.random.Generator
    ) -> None:
        n_bags = len(targets)
        optimizers = _Optimizers.with_rate(self.learning_rate, self.num_threads)
        self.loss_curve_ = []
        with _progress_bar(n_bags * self.max_iter, self.verbose) as advance:
            for iteration in range(1, self.max_iter + 1):
                order = rng.permutation(n_bags)
                loss = 0.0
                for batch, labels in _batches(bags[order], targets[order], self.batch_size):
                    loss += self._step(batch, labels, optimizers)
                    advance(len(labels))
                self.n_iter_ = iteration
                self.loss_curve_.append(loss / n_bags)
                if not np.isfinite(loss):
                    raise FloatingPointError(
                        f"the loss diverged in pass {iteration}; learning_rate = "
                        f"{self.learning_rate} or the values of X are too large"
                    )

    def _step(
        self, batch: "_Batch", labels: npt.NDArray[np.intp], optimizers: "_Optimizers"
    ) -> float:
        """Make one step of gradient descent; return the batch's summed loss before it."""
        pooled = self._pool(batch)
        errors = _softmax(self._score_batch(pooled))
        label_of_bag = np.arange(len(labels)), labels
        likelihoods = np.maximum(errors[label_of_bag], np.finfo(np.float32).tiny)
        errors[label_of_bag] -= 1
        errors /= len(labels)
        gradient = embedding_bag_backward(
            errors @ self.coef_,
            batch.indices,
            self.embedding_,
            batch.offsets,
            mode="sum",
            sparse="rows",
            per_sample_weights=batch.weights,
            per_sample_weights_grad=False,
            include_last_offset=True,
            num_threads=self.num_threads,
        ).weight
        optimizers.embedding.update(self.embedding_, cast(RowGradient, gradient))
        _update_all_rows(optimizers.coef, self.coef_, errors.T @ pooled)
        _update_all_rows(optimizers.intercept, self.intercept_[:, None], errors.sum(0)[:, None])
        return -float(np.log(likelihoods).sum())


class _Batch(NamedTuple):
    indices: npt.NDArray[Any]
    offsets: npt.NDArray[Any]
    weights: _Floats


class _Optimizers(NamedTuple):
    embedding: Adagrad
    coef: Adagrad
    intercept: Adagrad

    @classmethod
    def with_rate(cls, learning_rate: float, num_threads: int | None) -> Self:
        return cls(*(Adagrad(learning_rate, num_threads=num_threads) for _ in cls._fields))


def _check_parameters(estimator: EmbeddingBagClassifier) -> None:
    for name in ("embedding_dim", "batch_size", "max_iter"):
        value = getattr(estimator, name)
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rate = estimator.learning_rate
    if not isinstance(rate, Real):
        raise TypeError(f"learning_rate must be a number, got {rate!r}")
    if not 0 < rate < np.inf:
        raise ValueError(f"learning_rate must be positive and finite, got {rate}")
    if estimator.mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {estimator.mode!r}")


def _weighted_bags(X: Any, mode: str) -> sparse.csr_array:
    """Scale the rows of `X` so that the pooled sum is what `mode` asks for."""
    bags = sparse.csr_array(X)
    norm = _NORM_OF_MODE[mode]
    return bags if norm is None else normalize(bags, norm=norm)


def _initial_table(bags: sparse.csr_array, dim: int, rng: np.random.Generator) -> _Floats:
    """Return fastText's start, uniform in (-1/dim, 1/dim), in the rows that some bag uses.

    The others are zeros: a column never met says nothing, and its memory is never touched.
    """
    used = np.zeros(bags.shape[1], dtype=bool)
    used[bags.indices] = True
    table = np.zeros((bags.shape[1], dim), dtype=np.float32)
    rows = np.flatnonzero(used)
    table[rows] = (2 * rng.random((len(rows), dim), dtype=np.float32) - 1) / dim
    return table


def _as_batch(bags: sparse.csr_array) -> _Batch:
    return _Batch(bags.indices, bags.indptr, bags.data)


def _batches(
    bags: sparse.csr_array, labels: npt.NDArray[np.intp], size: int
) -> Iterator[tuple[_Batch, npt.NDArray[np.intp]]]:
    """Yield runs of `size` rows as slices, without scipy's cost of a matrix per batch."""
    indices, offsets, weights = _as_batch(bags)
    for first in range(0, len(labels), size):
        bounds = offsets[first : first + size + 1]
        entries = slice(bounds[0], bounds[-1])
        batch = _Batch(indices[entries], bounds - bounds[0], weights[entries])
        yield batch, labels[first : first + size]


def _softmax(scores: _Floats) -> _Floats:
    """Turn scores into probabilities, in place."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def _update_all_rows(optimizer: Adagrad, weight: _Floats, gradient: _Floats) -> None:
    optimizer.update(weight, RowGradient(np.arange(len(weight)), gradient, weight.shape))


@contextmanager
def _progress_bar(n_bags: int, verbose: bool) -> Iterator[Callable[[int], object]]:
    """Give a function to call with the number of bags done."""
    if not verbose:
        yield lambda _: None
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "verbose=True needs tqdm: pip install 'ebagx[cli]'", name=error.name
        ) from error
    with tqdm(total=n_bags, unit="bag", unit_scale=True, leave=False) as bar:
        yield bar.update
