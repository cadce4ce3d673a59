"""The classifier that trains on the workers of a cluster."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.metrics import accuracy_score

from ebagx._core.modes import MODES
from ebagx._training.examples import Examples
from ebagx._training.labels import logits_of
from ebagx._training.network import Floats
from ebagx.dask._base import CLUSTER_CONSTRAINTS, NO_BAGS, DaskEstimator
from ebagx.dask._cluster import Cluster
from ebagx.dask._data import Data
from ebagx.dask._features import is_collection
from ebagx.dask._lazy import scored_lazily
from ebagx.dask._survey import Labels, all_labels, labels_of
from ebagx.optim import Optimizer
from ebagx.sklearn.classifier import EmbeddingBagClassifier
from ebagx.sklearn.parameters import Constraints
from ebagx.sklearn.weights import class_weights

__all__ = ["DaskEmbeddingBagClassifier"]

_FLOAT32 = np.dtype(np.float32)


class DaskEmbeddingBagClassifier(DaskEstimator, EmbeddingBagClassifier):
    """Train an `EmbeddingBagClassifier` on the workers of a Dask cluster.

    In each round, every shard of the data trains on the rows of the table that it touches, from
    the same model on; then the changes are combined. The result has the same bits for any number
    of workers, of threads and of blocks, and also when workers are lost and tasks run again. It
    is not that of one machine, but near it if a shard has many rows; small data are faster there.

    Parameters
    ----------
    embedding_dim, mode, hidden, optimizer, learning_rate, schedule, batch_size, max_iter
        As in `EmbeddingBagClassifier`. "rowwise_adagrad" halves the traffic. SGD must
        have no momentum if there are several shards.
    negatives, alpha, early_stopping, validation_fraction, n_iter_no_change, tol, class_weight
        As there; each shard holds out a part of its rows.
    warm_start : bool, default=False
        Must be False.
    groups : None, default=None
        Must be None: a cluster pools all columns of a row together.
    random_state, verbose, num_threads
        As there. `verbose` prints a line for each pass.
    client : distributed.Client or None, default=None
        Connection to the cluster; None: the default client at the time of `fit`. Copies made by
        ``sklearn.base.clone`` share it, pickles have none.
    n_shards : int or None, default=None
        Number of logical shards, which have equal numbers of rows; None: one for each chunk of
        rows of `X`. The result depends on this number, but never on the number of workers. Each
        worker should have at least one shard for each of its threads.
    rounds_per_pass : int or None, default=None
        Exchanges of the model in each pass over the data; None: 4 with more than 64 classes or
        outputs, 1 otherwise. More of them come closer to the result of a single machine, and cost
        more traffic. With several shards, the first three passes have at least 8, 4 and 2, as the
        first changes are large.
    n_blocks : int or None, default=None
        Ranges of rows in which the model is kept between rounds; None: the number of workers. One
        block goes to the workers as a whole, of several only the rows that a shard touches. Not a
        bit of the result depends on it.
    checkpoint : path or None, default=None
        Folder that all machines see, in which workers keep the blocks between rounds, so that no
        machine holds the whole table, and an interrupted fit is resumed by the next one with the
        same parameters and data. None: the driver has a copy of the model.

    Attributes
    ----------
    classes_, multilabel_, n_features_in_, embedding_, coef_, intercept_, hidden_coef_
        As in `EmbeddingBagClassifier`, and so are `hidden_intercept_` and those that describe the
        training. With ``checkpoint=``, each access of `embedding_` reads the table from files.

    See Also
    --------
    ebagx.sklearn.EmbeddingBagClassifier : The same in memory.

    Notes
    -----
    Rows become at most ``row + Σ change / √m``, where m shards have touched the row, and less where
    the changes are alike; moments of Adam are averaged. With the optimizers
    "adagrad" and "rowwise_adagrad", sums of squares are added up, and rows go further where the
    changes have little in common, where a shard used the row a few times only, or where the squares
    are already large; without early stopping the last round leaves the mean. Each shard begins a
    round with the same count of steps, for schedules and for the corrections of Adam.

    Lost workers, lost results and a restarted cluster cost the rounds since the last copy of the
    model, which are made again, at most five times in a row. Lost chunks are computed again from
    the graphs of `X` and `y`; data that were scattered by hand cannot be. Ctrl-C ends `fit` with
    a warning, and leaves the model of the last complete round.

    Examples
    --------
    >>> from dask.distributed import Client  # doctest: +SKIP
    >>> from ebagx.dask import DaskEmbeddingBagClassifier  # doctest: +SKIP
    >>> client = Client("tcp://scheduler:8786")  # doctest: +SKIP
    >>> model = DaskEmbeddingBagClassifier(random_state=0, client=client)  # doctest: +SKIP
    >>> model.fit(X, y).predict(X).compute()  # doctest: +SKIP
    """

    _constraints: ClassVar[Constraints] = {
        **EmbeddingBagClassifier._constraints,
        **CLUSTER_CONSTRAINTS,
    }
    _local = EmbeddingBagClassifier
    _labels: Labels

    def __init__(
        self,
        embedding_dim: int = 32,
        *,
        mode: str = "mean",
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
        client: Any = None,
        n_shards: int | None = None,
        rounds_per_pass: int | None = None,
        n_blocks: int | None = None,
        checkpoint: Any = None,
        groups: None = None,
    ) -> None:
        super().__init__(
            embedding_dim,
            mode=mode,
            hidden=hidden,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            batch_size=batch_size,
            max_iter=max_iter,
            negatives=negatives,
            alpha=alpha,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            class_weight=class_weight,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            num_threads=num_threads,
            groups=groups,
        )
        self.client = client
        self.n_shards = n_shards
        self.rounds_per_pass = rounds_per_pass
        self.n_blocks = n_blocks
        self.checkpoint = checkpoint

    def predict(self, X: Any) -> Any:
        """Return the likeliest classes, or an indicator of labels; lazily for collections.

        Parameters
        ----------
        X : {dask array, dataframe or bag, array-like, sparse matrix} (n_samples, n_features)
            Counts or weights; a bag holds lists of column numbers.

        Returns
        -------
        {dask array, ndarray, CSR matrix} of shape (n_samples,) or (n_samples, n_labels)
        """
        shape = self._shape_of_scores()
        if not self.multilabel_:
            return self._apply("predict", X, (), self.classes_.dtype)
        return self._apply("predict", X, shape, np.dtype(np.int64), self._sparse_labels)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of classes or labels; lazily for collections.

        Parameters
        ----------
        X : {dask array, dataframe or bag, array-like, sparse matrix} (n_samples, n_features)
            Counts or weights; a bag holds lists of column numbers.

        Returns
        -------
        {dask array, ndarray} of shape (n_samples, n_classes), float32
        """
        return self._apply("predict_proba", X, self._shape_of_scores(), _FLOAT32)

    def decision_function(self, X: Any) -> Any:
        """Return the scores of classes or labels; lazily for collections.

        Parameters
        ----------
        X : {dask array, dataframe or bag, array-like, sparse matrix} (n_samples, n_features)
            Counts or weights; a bag holds lists of column numbers.

        Returns
        -------
        {dask array, ndarray} of shape (n_samples, n_classes), or (n_samples,) for two; float32
        """
        shape = self._shape_of_scores()
        is_binary = shape == (2,) and not self.multilabel_
        return self._apply("decision_function", X, () if is_binary else shape, _FLOAT32)

    def score(self, X: Any, y: Any, sample_weight: Any = None, compute: bool = True) -> Any:
        """Return the accuracy.

        Parameters
        ----------
        X, y : {dask collections, array-like}
            Features and true labels, as in `fit`.
        sample_weight : {dask collection, array-like} of shape (n_samples,), optional
            Weights.
        compute : bool, default=True
            Whether collections are computed now, on the client of the estimator; without, the
            score of collections is an array of Dask.

        Returns
        -------
        {float, dask array of no dimensions}
        """
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        X, model = self._features(X), self._without_client()
        score = scored_lazily(X, y, sample_weight, model, _hits_of_chunk, _accuracy)
        return self._computed(score) if compute else score

    def _survey(self, cluster: Cluster, data: Data) -> list[int]:
        chunks = cluster.compute(labels_of, [(y,) for y in data.y])
        labels = all_labels(chunks)
        self._labels = labels
        if labels.classes is None:
            self.classes_ = np.arange(len(labels.counts))
        elif len(labels.classes) < 2:
            raise ValueError(f"y must hold at least 2 classes, got 1 class: {labels.classes[0]}")
        else:
            self.classes_ = labels.classes
        self.multilabel_, self._sparse_labels = labels.is_indicator, labels.is_sparse
        return [chunk.num_rows for chunk in chunks]

    def _template(self) -> Any:
        """Return a copy for shards, which has class weights in numbers: they need all of y."""
        template, labels = super()._template(), self._labels
        if self.class_weight == "balanced":
            rows = labels.counts.sum() / np.count_nonzero(labels.counts)
            weights = rows / np.maximum(labels.counts, 1.0)
            template.class_weight = dict(zip(self.classes_.tolist(), weights.tolist(), strict=True))
        elif self.class_weight is not None:
            class_weights(self.class_weight, self.classes_, self.classes_)
        return template

    def _first_intercept(self) -> Floats:
        num_classes = len(self.classes_)
        if self._draws_labels(num_classes):
            return logits_of(self._labels.counts, self._labels.num_rows)
        return np.zeros(num_classes, np.float32)

    def _no_examples(self) -> Examples:
        nothing = sparse.csr_array((0, len(self.classes_)), dtype=np.int8)
        weights = None if self.class_weight is None else np.empty(0, np.float32)
        return Examples(NO_BAGS, nothing, weights, MODES[self.mode])


def _hits_of_chunk(model: Any, X: Any, y: Any, sample_weight: Any) -> tuple[float, float]:
    """Return the sum of the weights of the rows that are right, and of all."""
    num_rows = X.shape[0]
    if not num_rows:
        return 0.0, 0.0
    weights = np.ones(num_rows) if sample_weight is None else np.asarray(sample_weight)
    labels = y if sparse.issparse(y) else np.asarray(y)
    hits = accuracy_score(labels, model.predict(X), normalize=False, sample_weight=weights)
    return float(hits), float(weights.sum())


def _accuracy(parts: Sequence[tuple[float, float]]) -> float:
    hits, weights = np.sum(parts, axis=0)
    return float(hits / weights) if weights else float("nan")
