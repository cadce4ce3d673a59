"""The classifier, which predicts classes from bags of features."""

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ebagx.optim import Optimizer
from ebagx.sklearn.labels import LabelEstimator
from ebagx.sklearn.parameters import CLASS_WEIGHT, COUNT, Constraints, NoneOr
from ebagx.sklearn.pooling import PoolingEstimator

__all__ = ["EmbeddingBagClassifier"]


class EmbeddingBagClassifier(LabelEstimator, PoolingEstimator):
    """Classify bags of features: pooled embedding rows under a linear softmax layer.

    This is fastText's model. A row of `X` is a bag, a column has an embedding, and the stored
    values are the weights with which the embeddings are pooled. Embeddings and linear layer are
    learned together, on shuffled mini-batches. If `y` is an indicator matrix (multilabel), each
    label has a sigmoid of its own instead. `transform` gives the pooled embeddings.

    Parameters
    ----------
    embedding_dim : int, default=32
        Length of the embeddings.
    mode : {"mean", "sqrtn", "sum"}, default="mean"
        Divide the weighted sum of a bag by the sum of its weights, by the root of the sum of
        their squares, or not at all. "mean" takes the weights' absolute values, since the
        signed ones of a `HashingVectorizer` may add up to nothing.
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
        Rule of the steps. "rowwise_adagrad" keeps one number a row, which makes the table's state
        `embedding_dim` times smaller. An object of `ebagx.optim` is copied for each array of
        weights; it has its own learning rate, weight decay and number of threads.
    learning_rate : float, default=0.1
        Step size at the start. Not used with an optimizer object or a callable `schedule`.
    schedule : {"linear", "cosine"}, callable or None, default=None
        Let the rate fall to 0 over all steps of `fit`, evenly as in fastText or along half a
        cosine, or take it from a function of the number of the step, as those that
        `ebagx.optim` makes. None keeps it. `partial_fit`, which cannot know the number of
        steps, keeps it for "linear" and "cosine" too.
    batch_size : int, default=128
        Number of bags per step.
    max_iter : int, default=10
        Number of passes over the data.
    negatives : int or None, default=None
        With many classes, let each step use those of its rows and so many others, drawn at random,
        in place of all: see Notes. None, or a number not below that of the classes, uses all.
    alpha : float, default=0.0
        Weight decay of embeddings, layers and biases: L2, for "adamw" decoupled. Not used with
        an optimizer object.
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
        rows. They are multiplied by `sample_weight`. A multilabel `y` has the numbers of its
        columns as labels, and the weight of a row is the mean of those of its labels, or 1.
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
    classes_ : ndarray of shape (n_classes,)
        Class labels; of a multilabel `y` the numbers of its columns.
    multilabel_ : bool
        True if `y` was an indicator matrix.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns seen in `fit`, if they all had one that is a string.
    embedding_ : ndarray of shape (n_features, embedding_dim), float32
        The embedding table. Columns that occurred in no bag have rows of zeros.
    hidden_coef_, hidden_intercept_ : ndarrays of shape (hidden, n_inputs), (hidden,) or None
        Weights and biases of the hidden layer, float32; `n_inputs` is `embedding_dim` times the
        number of groups.
    coef_ : ndarray of shape (n_classes, n_inputs) or (n_classes, hidden), float32
        Weights of the linear layer.
    intercept_ : ndarray of shape (n_classes,), float32
        Biases of the linear layer.
    loss_curve_ : list of float
        Mean cross-entropy of each pass (of a bag's labels the sum), taken before each step.
    validation_scores_ : list of float or None
        Scores of the held-out rows after each pass, with early stopping.
    best_validation_score_ : float or None
        The highest of them, or that of the model which `fit` went on with.
    best_iter_ : int
        The pass, counted from 1, whose model was kept; 0: that which `fit` went on with.
    n_iter_ : int
        Number of passes made.

    See Also
    --------
    EmbeddingBagRegressor : The same for numbers.
    EmbeddingBagTransformer : Pooled rows of a given or random table.

    Notes
    -----
    A step costs time in proportion to the entries of its batch, whatever the number of
    columns. CSR input of float32 is used in place, with int32 or int64 indices; other input is
    converted to it once. Beside the table, memory goes to the optimizer's state (Adagrad's is of
    the table's size), which only `partial_fit` and `warm_start` keep, and to a copy of the rows in
    use, with the state where that is kept, from which the last good model is restored.

    The linear layer costs a step time in proportion to the number of classes, unless `negatives`
    limits it. Then the loss of a row is estimated from the classes that its batch uses: those of
    its rows, and those drawn by the root of their frequency. Each wrong one counts with one over
    the probability to be used, so that the estimate aims at the loss of all classes, and
    probabilities mean the same: `predict_proba` and all other methods use all classes. With 2,583
    classes of 43,000 definitions, 256 negatives made a pass six times as fast, and the accuracy
    .374 instead of .384. Weight decay reaches a class when a step uses it, and at the end of a
    pass.

    Ctrl-C ends `fit` early, with a warning, and leaves a model. A loss that diverges is a
    ValueError; the model of the last good pass is kept.

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

    _constraints: ClassVar[Constraints] = {
        **PoolingEstimator._constraints,
        "class_weight": CLASS_WEIGHT,
        "negatives": NoneOr(COUNT),
    }

    def __init__(
        self,
        embedding_dim: int = 32,
        *,
        mode: str = "mean",
        groups: Any = None,
        hidden: int | None = None,
        optimizer: str | Optimizer = "adagrad",
        learning_rate: float = 0.1,
        schedule: Any = None,
        batch_size: int = 128,
        max_iter: int = 10,
        negatives: int | None = None,
        alpha: float = 0.0,
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
        self.mode = mode
        self.groups = groups
        self.hidden = hidden
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.negatives = negatives
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
        True: then `fit` keeps the optimizer's state, and this goes on with it. Later calls, also
        of copies and unpickled estimators, go on with the state of the call before.

        Parameters that `set_params` has changed count from this call on. A changed `optimizer`
        starts anew, and a changed `random_state` seeds anew. But `embedding_dim`, `hidden`,
        `mode` and `groups` belong to the model: if they have changed, this raises.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or an indicator matrix.
        classes : array-like of shape (n_classes,), optional
            All labels that `y` may ever hold; needed in the first call, unless `y` is an
            indicator matrix.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the loss, at least 0.

        Returns
        -------
        self : EmbeddingBagClassifier

        Raises
        ------
        TypeError, ValueError
            As in `fit`; if the loss diverges, the model stays as it was. Also if `classes` is
            missing in the first call or differs in later ones, if `y` has other classes, or if
            ``class_weight="balanced"``, which needs all of `y`, or if a parameter of the model has
            changed.
        """
        return self._fit_labels(X, y, classes, sample_weight)
