"""The regressor that is a factorization machine."""

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ebagx.optim import Optimizer
from ebagx.sklearn.factorization import FactorizationMachine
from ebagx.sklearn.numbers import NumberEstimator
from ebagx.sklearn.parameters import Constraints, OneOf

__all__ = ["FactorizationMachineRegressor"]


class FactorizationMachineRegressor(NumberEstimator, FactorizationMachine):
    """Predict numbers from columns and from the products of all pairs of columns.

    A column i has a weight `w_i` and a vector of factors `v_i`, and a row x the score
    ``w_0 + sum_i w_i x_i + sum_(i < j) <v_i, v_j> x_i x_j``. So pairs of columns that no row of the
    data has together still get a product, from the other pairs of each. It suits sparse rows, such
    as those of users, items and their features.

    Parameters
    ----------
    embedding_dim : int, default=8
        Number of factors of a column.
    loss : {"squared_error", "poisson"}, default="squared_error"
        Loss that training lowers. "poisson" is for counts and has a log link, so that predictions
        are exponentials of the scores.
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
        Hold out a part of the data, and stop when the loss there no longer falls. The model of
        the best pass is kept. `partial_fit` takes no notice.
    validation_fraction : float, default=0.1
        Fraction of the data that is held out, between 0 and 1.
    n_iter_no_change : int, default=3
        Number of passes without a fall by `tol` after which training stops early.
    tol : float, default=1e-4
        Smallest fall that counts.
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
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if they all had one that is a string.
    embedding_ : ndarray of shape (n_features_in_, n_outputs * (embedding_dim + 1)), float32
        The table as it is trained: the factors of a column, output by output, and then its
        weights, in the units of the training. Columns that occurred in no row have zeros.
    factors_ : ndarray of shape (n_outputs, n_features_in_, embedding_dim), float32
        The factors, in the units of `y`.
    coef_ : ndarray of shape (n_outputs, n_features_in_), float32
        The weights, in the units of `y`.
    intercept_ : ndarray of shape (n_outputs,), float32
        The biases, in the units of `y`.
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
    FactorizationMachineClassifier : The same for classes.
    EmbeddingBagRegressor : Pooled embeddings under linear layers.

    Notes
    -----
    The products of all pairs of the n columns of a row cost time in proportion to n, since they are
    ``(||sum_i x_i v_i||^2 - sum_i ||x_i v_i||^2) / 2`` [1]_. The numbers of a row count as
    they are; `Normalizer` and scalers of scikit-learn bring them to one size.

    On small data, factors that are averaged over many samples of their distribution (``myfm``) are
    more accurate: see the user guide. There are no field-aware factors here.

    Ctrl-C and divergence are as in `EmbeddingBagClassifier`.

    References
    ----------
    .. [1] Rendle: Factorization Machines, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from ebagx.sklearn import FactorizationMachineRegressor
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> rng = np.random.default_rng(0)
    >>> users, items = rng.integers(20, size=2000), rng.integers(30, size=2000)
    >>> liking = np.where(users % 2 == items % 2, 4.0, 2.0)  # no column says it alone
    >>> X = OneHotEncoder().fit_transform(np.stack([users, items], axis=1))
    >>> model = FactorizationMachineRegressor(4, alpha=0.0, max_iter=60, random_state=0)
    >>> model.fit(X[:1500], liking[:1500]).score(X[1500:], liking[1500:]) > 0.95
    True
    """

    _constraints: ClassVar[Constraints] = {
        **FactorizationMachine._constraints,
        "loss": OneOf(("squared_error", "poisson")),
    }

    _fixed: ClassVar[tuple[str, ...]] = (*FactorizationMachine._fixed, "loss")

    def __init__(
        self,
        embedding_dim: int = 8,
        *,
        loss: str = "squared_error",
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
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        num_threads: int | None = None,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.loss = loss
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.num_threads = num_threads

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Make one pass over some examples, going on with the model if there is one.

        After `fit`, the first call has a new optimizer and seeds anew, unless `warm_start` is
        True: then `fit` keeps the optimizer's state, and this goes on with it. Parameters that
        `set_params` has changed count from this call on, except `embedding_dim` and `loss`, which
        belong to the model: a change raises an error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers, most of them 0.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers. Those of the first call also give location and scale of the training.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the loss, at least 0.

        Returns
        -------
        self : FactorizationMachineRegressor

        Raises
        ------
        TypeError, ValueError
            As in `fit`; if the loss diverges, the model stays as it was. Also if `y` has another
            number of outputs than before, or a parameter of the model has changed.
        """
        return self._fit_pass(X, y, sample_weight)

    def _units(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return self._location, self._scale
