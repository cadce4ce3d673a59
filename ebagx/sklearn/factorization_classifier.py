"""The classifier that is a factorization machine."""

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._training.examples import Examples
from ebagx._training.learning import Weights
from ebagx._training.losses import Loss, Sigmoid, Softmax
from ebagx._training.network import Floats
from ebagx.optim import Optimizer
from ebagx.sklearn.factorization import FactorizationMachine
from ebagx.sklearn.labels import LabelEstimator
from ebagx.sklearn.parameters import CLASS_WEIGHT, Constraints

__all__ = ["FactorizationMachineClassifier"]


class FactorizationMachineClassifier(LabelEstimator, FactorizationMachine):
    """Classify rows by their columns and by the products of all pairs of columns.

    A column i has a weight `w_i` and a vector of factors `v_i`, and a row x the score
    ``w_0 + sum_i w_i x_i + sum_(i < j) <v_i, v_j> x_i x_j``. So pairs of columns that no row of the
    data has together still get a product, from the other pairs of each. Two classes have one such
    score, under a sigmoid; of more classes each has a score with weights and factors of its own,
    under a softmax; and if `y` is an indicator matrix (multilabel), each label has one under a
    sigmoid.

    Parameters
    ----------
    embedding_dim : int, default=8
        Number of factors of a column for each score.
    optimizer : {"adagrad", "rowwise_adagrad", "sgd", "adam", "adamw"} or object, default="adagrad"
        Rule of the steps; see `EmbeddingBagClassifier`.
    learning_rate : float, default=0.05
        Step size at the start. Not used with an optimizer object or a callable `schedule`.
    schedule : {"linear", "cosine"}, callable or None, default=None
        Fall of the rate; see `EmbeddingBagClassifier`.
    batch_size : int, default=256
        Number of rows per step.
    max_iter : int, default=15
        Number of passes over the data.
    alpha : float, default=4e-4
        Weight decay of factors, weights and biases: L2, for "adamw" decoupled. Factors learn pairs
        of columns by heart without it; it counts beside the mean gradient of a batch, so that half
        of it suits a batch of twice the size. Not used with an optimizer object.
    early_stopping : bool, default=False
        Hold out a part of the data (of each class alike), and stop when its score no longer
        rises: the accuracy, or for multilabel `y` minus the loss. The model of the best pass is
        kept. `partial_fit` takes no notice.
    validation_fraction : float, default=0.1
        Fraction of the data that is held out, between 0 and 1.
    n_iter_no_change : int, default=3
        Number of passes without a rise by `tol` after which training stops early.
    tol : float, default=1e-4
        Smallest rise that counts.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes: ``{label: weight}``, or in inverse proportion to their number of
        rows; see `EmbeddingBagClassifier`.
    warm_start : bool, default=False
        Let `fit` go on with the weights of the fitted model, but a new optimizer. The optimizer's
        state is kept for `partial_fit`, in pickles too, which makes them about twice as large.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial factors, the held-out rows and the order of the rows. With an int, the
        fitted numbers are the same in every run, on every machine, whatever `num_threads` is.
    verbose : bool or int, default=False
        Show a progress bar (needs tqdm).
    num_threads : int or None, default=None
        Number of threads; with None, ebagx chooses it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; of a multilabel `y` the numbers of its columns.
    multilabel_ : bool
        True if `y` was an indicator matrix.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if they all had one that is a string.
    embedding_ : ndarray of shape (n_features_in_, n_outputs * (embedding_dim + 1)), float32
        The table as it is trained: the factors of a column, output by output, and then its
        weights. Columns that occurred in no row have zeros.
    factors_ : ndarray of shape (n_outputs, n_features_in_, embedding_dim), float32
        The factors. Two classes have one output.
    coef_ : ndarray of shape (n_outputs, n_features_in_), float32
        The weights.
    intercept_ : ndarray of shape (n_outputs,), float32
        The biases.
    loss_curve_ : list of float
        Mean loss of each pass, taken before each step.
    validation_scores_ : list of float or None
        Scores of the held-out rows after each pass, with early stopping.
    best_validation_score_ : float or None
        The highest of them.
    best_iter_ : int
        The pass, counted from 1, whose model was kept.
    n_iter_ : int
        Number of passes made.

    See Also
    --------
    FactorizationMachineRegressor : The same for numbers.
    EmbeddingBagClassifier : Pooled embeddings under linear layers, for many classes.

    Notes
    -----
    The products of all pairs of the n columns of a row cost time in proportion to n, since they are
    ``(||sum_i x_i v_i||^2 - sum_i ||x_i v_i||^2) / 2`` [1]_. With more
    than two classes, table and time grow with their number.

    The numbers of a row count as they are; `Normalizer` and scalers of scikit-learn bring them to
    one size.

    On small data, factors that are averaged over many samples of their distribution (``myfm``) are
    more accurate: see the user guide. There are no field-aware factors here.

    Ctrl-C and divergence are as in `EmbeddingBagClassifier`.

    References
    ----------
    .. [1] Rendle: Factorization Machines, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from ebagx.sklearn import FactorizationMachineClassifier
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> rng = np.random.default_rng(0)
    >>> users, items = rng.integers(20, size=2000), rng.integers(30, size=2000)
    >>> liked = np.where(users % 2 == items % 2, "yes", "no")  # no column says it alone
    >>> X = OneHotEncoder().fit_transform(np.stack([users, items], axis=1))
    >>> model = FactorizationMachineClassifier(4, alpha=0.0, max_iter=60, random_state=0)
    >>> model.fit(X[:1500], liked[:1500]).score(X[1500:], liked[1500:]) > 0.95
    True
    """

    _constraints: ClassVar[Constraints] = {
        **FactorizationMachine._constraints,
        "class_weight": CLASS_WEIGHT,
    }

    def __init__(
        self,
        embedding_dim: int = 8,
        *,
        optimizer: str | Optimizer = "adagrad",
        learning_rate: float = 0.05,
        schedule: Any = None,
        batch_size: int = 256,
        max_iter: int = 15,
        alpha: float = 4e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 1e-4,
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        num_threads: int | None = None,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.alpha = alpha
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.num_threads = num_threads

    def partial_fit(
        self, X: Any, y: Any, classes: npt.ArrayLike | None = None, sample_weight: Any = None
    ) -> Self:
        """Make one pass over some examples, going on with the model if there is one.

        After `fit`, the first call has a new optimizer and seeds anew, unless `warm_start` is
        True: then `fit` keeps the optimizer's state, and this goes on with it. Parameters that
        `set_params` has changed count from this call on, except `embedding_dim`, which
        belongs to the model: a change raises an error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers, most of them 0.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or an indicator matrix.
        classes : array-like of shape (n_classes,), optional
            All labels that `y` may ever hold; needed in the first call, unless `y` is an
            indicator matrix.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the loss, at least 0.

        Returns
        -------
        self : FactorizationMachineClassifier

        Raises
        ------
        TypeError, ValueError
            As in `fit`; if the loss diverges, the model stays as it was. Also if `classes` is
            missing in the first call or differs in later ones, if `y` has other classes, or if
            ``class_weight="balanced"``, which needs all of `y`, or if a parameter of the model has
            changed.
        """
        return self._fit_labels(X, y, classes, sample_weight)

    def _is_binary(self) -> bool:
        return not self.multilabel_ and len(self.classes_) == 2

    def _loss(self) -> Loss:
        return Sigmoid() if self.multilabel_ or self._is_binary() else Softmax()

    def _encoded(
        self, y: Any, weights: Weights, going_on: bool, classes: npt.ArrayLike | None
    ) -> tuple[sparse.csr_array, Weights]:
        """Return ones for the labels of rows; two classes are one label, the second."""
        targets, weights = super()._encoded(y, weights, going_on, classes)
        return (targets[:, [1]] if self._is_binary() else targets), weights

    def _initial_intercept(self, examples: Examples) -> Floats:
        """Return the logits of the shares of labels, or the logarithms of those of classes."""
        num_rows, num_outputs = examples.targets.shape
        counts = np.bincount(examples.targets.indices, minlength=num_outputs)
        scores = np.log((counts + 0.5) / (num_rows + 1))
        if isinstance(self._loss(), Sigmoid):
            scores -= np.log((num_rows - counts + 0.5) / (num_rows + 1))
        logits: Floats = scores.astype(np.float32)
        return logits

    def _stratified(self, examples: Examples, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        if not self._is_binary():
            return super()._stratified(examples, order)
        return order[np.argsort(_second(examples)[order], kind="stable")]

    def _score(self, scores: Floats, held_out: Examples) -> float:
        if not self._is_binary():
            return super()._score(scores, held_out)
        hits = (scores[:, 0] > 0) == _second(held_out)
        return float(np.average(hits, weights=held_out.weights))

    def _scores(self, X: Any, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        scores = super()._scores(X, dtype)
        return np.hstack([np.zeros_like(scores), scores]) if self._is_binary() else scores


def _second(examples: Examples) -> npt.NDArray[np.bool_]:
    """Return which rows have the second of two classes."""
    second: npt.NDArray[np.bool_] = np.diff(examples.targets.indptr) > 0
    return second
