"""The regressor, which predicts numbers from bags of features."""

from typing import Any, ClassVar, Self

import numpy as np

from ebagx._core.arguments import POSITIVE
from ebagx._training.losses import Huber, Loss
from ebagx._training.network import Layer
from ebagx.optim import Optimizer
from ebagx.sklearn.numbers import NumberEstimator
from ebagx.sklearn.parameters import Constraints, Number, OneOf
from ebagx.sklearn.pooling import PoolingEstimator

__all__ = ["EmbeddingBagRegressor"]


class EmbeddingBagRegressor(NumberEstimator, PoolingEstimator):
    """Predict numbers from bags of features: pooled embedding rows under a linear layer.

    A row of `X` is a bag, a column has an embedding, and the stored values are the weights with
    which the embeddings are pooled. Embeddings and linear layer are learned together, on shuffled
    mini-batches. `transform` gives the pooled embeddings.

    Parameters
    ----------
    embedding_dim : int, default=32
        Length of the embeddings.
    loss : {"squared_error", "huber", "poisson"}, default="squared_error"
        Loss that training lowers. "huber" limits the gradients of outliers; "poisson" is for counts
        and has a log link, so that predictions are exponentials of the linear layer.
    epsilon : float, default=1.35
        Error, in standard deviations of `y`, up to which ``loss="huber"`` is the squared one, and
        from which on it grows linearly.
    mode : {"mean", "sqrtn", "sum"}, default="mean"
        Divide the weighted sum of a bag by the sum of its weights, by the root of the sum of
        their squares, or not at all: then large bags may have large numbers. "mean" takes the
        weights' absolute values.
    groups : list or mapping of slices, array of int, or None, default=None
        Columns to pool apart: slices, or a number for each column. Each group has a divisor of its
        own, and the layers see the pooled vectors of all groups side by side, so that large numbers
        in one group leave the others as they are. The `output_indices_` of a `ColumnTransformer`
        will do. A column must be in a group, and may be in several; groups without columns are
        left out. None makes one group.
    hidden : int or None, default=None
        Number of units of a hidden layer with ReLU between the pooled embeddings and the linear
        layer.
    optimizer : {"adagrad", "rowwise_adagrad", "sgd", "adam", "adamw"} or object, default="adagrad"
        Rule of the steps; see `EmbeddingBagClassifier`.
    learning_rate : float, default=0.1
        Step size at the start. Not used with an optimizer object or a callable `schedule`.
    schedule : {"linear", "cosine"}, callable or None, default=None
        Fall of the rate; see `EmbeddingBagClassifier`.
    batch_size : int, default=128
        Number of bags per step.
    max_iter : int, default=10
        Number of passes over the data.
    alpha : float, default=0.0
        Weight decay of embeddings, layers and biases: L2, for "adamw" decoupled. Not used with
        an optimizer object.
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
        Seed of the initial embeddings, the held-out rows and the order of the bags. With an int,
        the fitted numbers are the same in every run, on every machine, whatever `num_threads` is.
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
    embedding_ : ndarray of shape (n_features_in_, embedding_dim), float32
        The embedding table. Columns that occurred in no bag have rows of zeros.
    hidden_coef_, hidden_intercept_ : ndarrays of shape (hidden, n_inputs), (hidden,) or None
        Weights and biases of the hidden layer, float32; `n_inputs` is `embedding_dim` times the
        number of groups.
    coef_ : ndarray of shape (n_outputs, n_inputs) or (n_outputs, hidden), float32
        Weights of the linear layer.
    intercept_ : ndarray of shape (n_outputs,), float32
        Biases of the linear layer.
    loss_curve_ : list of float
        Mean loss of each pass, taken before each step: half the squared error, Huber's loss or
        half the Poisson deviance, added up over the outputs, of `y` as it is trained on.
    validation_scores_ : list of float or None
        Minus the mean loss of the held-out rows after each pass, with early stopping.
    best_validation_score_ : float or None
        The highest of them, or that of the model which `fit` went on with.
    best_iter_ : int
        The pass, counted from 1, whose model was kept; 0: that which `fit` went on with.
    n_iter_ : int
        Number of passes made.

    See Also
    --------
    EmbeddingBagClassifier : The same for classes.

    Notes
    -----
    Unless the loss is Poisson's, training sees each output less its mean and divided by its
    standard deviation, so that the learning rate does not depend on the unit of `y` and outputs
    count alike. `coef_` and `intercept_` are those of `y` itself. With Poisson's loss, training
    begins with the logarithm of the mean as intercept.

    Cost, Ctrl-C and divergence are as in `EmbeddingBagClassifier`.

    References
    ----------
    .. [1] Huber: Robust estimation of a location parameter, 1964.

    Examples
    --------
    >>> from ebagx.sklearn import EmbeddingBagRegressor
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> menu = ["soup", "soup bread", "steak", "steak wine", "bread wine", "soup steak wine"] * 20
    >>> price = {"soup": 6, "bread": 2, "steak": 20, "wine": 7}
    >>> bill = [sum(price[item] for item in order.split()) for order in menu]
    >>> model = make_pipeline(
    ...     CountVectorizer(), EmbeddingBagRegressor(8, mode="sum", max_iter=200, random_state=0)
    ... )
    >>> model.fit(menu, bill).predict(["steak wine", "soup bread"]).round()
    array([27.,  8.])
    """

    _constraints: ClassVar[Constraints] = {
        **PoolingEstimator._constraints,
        "loss": OneOf(("squared_error", "huber", "poisson")),
        "epsilon": Number(POSITIVE),
    }

    _fixed: ClassVar[tuple[str, ...]] = (*PoolingEstimator._fixed, "loss")

    def __init__(
        self,
        embedding_dim: int = 32,
        *,
        loss: str = "squared_error",
        epsilon: float = 1.35,
        mode: str = "mean",
        groups: Any = None,
        hidden: int | None = None,
        optimizer: str | Optimizer = "adagrad",
        learning_rate: float = 0.1,
        schedule: Any = None,
        batch_size: int = 128,
        max_iter: int = 10,
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
        self.epsilon = epsilon
        self.mode = mode
        self.groups = groups
        self.hidden = hidden
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
        True: then `fit` keeps the optimizer's state, and this goes on with it. Later calls, also
        of copies and unpickled estimators, go on with the state of the call before.

        Parameters that `set_params` has changed count from this call on. A changed `optimizer`
        starts anew, and a changed `random_state` seeds anew. But `embedding_dim`, `hidden`,
        `mode`, `groups` and `loss` belong to the model: if they have changed, this raises.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers. Those of the first call also give location and scale of the training.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the loss, at least 0.

        Returns
        -------
        self : EmbeddingBagRegressor

        Raises
        ------
        TypeError, ValueError
            As in `fit`; if the loss diverges, the model stays as it was. Also if `y` has another
            number of outputs than before, or a parameter of the model has changed.
        """
        return self._fit_pass(X, y, sample_weight)

    def _loss(self) -> Loss:
        return Huber(float(self.epsilon)) if self.loss == "huber" else super()._loss()

    def _head_in_training(self, head: Layer) -> Layer:
        coef = head.coef / self._scale[:, np.newaxis]
        intercept = (head.intercept - self._location) / self._scale
        return Layer(coef.astype(np.float32), intercept.astype(np.float32))

    def _head_after_training(self, head: Layer) -> Layer:
        coef = head.coef * self._scale[:, np.newaxis]
        intercept = head.intercept * self._scale + self._location
        return Layer(coef.astype(np.float32), intercept.astype(np.float32))
